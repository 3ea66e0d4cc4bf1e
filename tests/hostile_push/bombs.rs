//! Pushes that are small and mean much, and what they are made of.

use git2::{ObjectType, Oid};

use super::craft::{
    ADA, BLOB, COMMIT, Craft, FILE, Packed, TREE, copying_delta, id_of, inserting_delta, pack, push_of,
    raw_tree,
};

pub const MIB: usize = 1 << 20;

/// The objects of a good push: a blob, the trees above it and a commit; and the commit's id.
pub fn good(craft: &Craft, tip: Oid) -> (Oid, Vec<Packed>) {
    let blob = b"name: x\n";
    let (root, objects) = tree_of(craft, tip, id_of(ObjectType::Blob, blob));
    let (commit, text) = commit_of(root, tip);
    let mut all = vec![Packed::Whole(BLOB, blob.to_vec()), Packed::Whole(COMMIT, text)];
    all.extend(objects);
    (commit, all)
}

/// A root that has the schedules' folder with one file of this blob, which need not be there.
pub fn tree_of(craft: &Craft, tip: Oid, blob: Oid) -> (Oid, Vec<Packed>) {
    let folder = raw_tree(&[(FILE.into(), b"x.yaml".to_vec(), blob)]);
    let folder_id = craft.write(ObjectType::Tree, &folder);
    let root = craft.with_entry(tip, "", "40000", b"schedules", folder_id);
    (root, vec![Packed::Whole(TREE, folder), Packed::Whole(TREE, craft.read(root))])
}

pub fn commit_of(tree: Oid, parent: Oid) -> (Oid, Vec<u8>) {
    let text =
        format!("tree {tree}\nparent {parent}\nauthor {ADA}\ncommitter {ADA}\n\nLet me\n").into_bytes();
    (id_of(ObjectType::Commit, &text), text)
}

/// A push of a commit whose one file is this blob, with these objects besides.
pub fn of_blob(craft: &Craft, tip: Oid, blob: Oid, objects: Vec<Packed>) -> Vec<u8> {
    let (root, trees) = tree_of(craft, tip, blob);
    let (commit, text) = commit_of(root, tip);
    let mut all = objects;
    all.extend(trees);
    all.push(Packed::Whole(COMMIT, text));
    push_of(tip, commit, &pack(&all))
}

pub fn zeros(craft: &Craft, tip: Oid, size: usize) -> Vec<u8> {
    let zeros = vec![0; size];
    of_blob(craft, tip, id_of(ObjectType::Blob, &zeros), vec![Packed::Whole(BLOB, zeros)])
}

/// A MiB that a delta of a few bytes copies many times.
pub fn wide_delta(craft: &Craft, tip: Oid, copies: usize) -> Vec<u8> {
    let base = vec![b'a'; MIB];
    let delta = copying_delta(base.len(), &vec![MIB; copies]);
    let id = id_of(ObjectType::Blob, &base);
    let (root, trees) = tree_of(craft, tip, id);
    let (commit, text) = commit_of(root, tip);
    let mut all = vec![Packed::Whole(BLOB, base), Packed::Delta(id, delta)];
    all.extend(trees);
    all.push(Packed::Whole(COMMIT, text));
    push_of(tip, commit, &pack(&all))
}

/// A small file at the end of a delta on something of so many MiB.
pub fn huge_in_the_middle(craft: &Craft, tip: Oid, mib: usize) -> Vec<u8> {
    let base = vec![b'a'; MIB];
    let middle = copying_delta(base.len(), &vec![MIB; mib]);
    let middle_content = vec![b'a'; mib * MIB];
    let last = inserting_delta(middle_content.len(), b"name: x\n");
    let (base_id, middle_id) = (id_of(ObjectType::Blob, &base), id_of(ObjectType::Blob, &middle_content));
    let objects =
        vec![Packed::Whole(BLOB, base), Packed::Delta(base_id, middle), Packed::Delta(middle_id, last)];
    of_blob(craft, tip, id_of(ObjectType::Blob, b"name: x\n"), objects)
}

/// Each of so many versions of a file is a delta on the one before.
pub fn deep_deltas(craft: &Craft, tip: Oid, depth: usize) -> Vec<u8> {
    let content = |number: usize| format!("name: x\n# {number}\n").into_bytes();
    let mut objects = vec![Packed::Whole(BLOB, content(0))];
    let mut below = content(0);
    for number in 1..=depth {
        let next = content(number);
        objects.push(Packed::Delta(id_of(ObjectType::Blob, &below), inserting_delta(below.len(), &next)));
        below = next;
    }
    of_blob(craft, tip, id_of(ObjectType::Blob, &below), objects)
}

/// A tree of more than 100 MiB, by deltas.
pub fn huge_tree(tip: Oid) -> Vec<u8> {
    let base = raw_tree(&[(FILE.into(), vec![b'a'; 4000], Oid::ZERO_SHA1)]).repeat(256);
    let size = base.len();
    let id = id_of(ObjectType::Tree, &base);
    let delta = copying_delta(size, &vec![size; 100]);
    let content = base.repeat(100);
    let root = id_of(ObjectType::Tree, &content);
    let (commit, text) = commit_of(root, tip);
    let all = [Packed::Whole(TREE, base), Packed::Delta(id, delta), Packed::Whole(COMMIT, text)];
    push_of(tip, commit, &pack(&all))
}

/// A file that stays as large as it is.
pub fn noise(craft: &Craft, tip: Oid, size: usize) -> Vec<u8> {
    let mut state = 7_u64;
    let next = |_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    };
    let bytes: Vec<u8> = (0..size).map(next).collect();
    of_blob(craft, tip, id_of(ObjectType::Blob, &bytes), vec![Packed::Whole(BLOB, bytes)])
}
