//! Builds what git itself would not: trees and commits as raw bytes on the tip of a project's state, and packs by hand.

use std::io::Write;
use std::path::Path;

use git2::{ObjectType, Oid};
use mrx::state::layout::STATE_REF;
use sha1::{Digest, Sha1};

/// An entry of a tree: mode as it is written, name, object.
pub type Entry = (Vec<u8>, Vec<u8>, Oid);

pub const FILE: &str = "100644";
pub const FOLDER: &str = "40000";
pub const ADA: &str = "Ada <ada@example.org> 1795168800 +0000";

/// A bare repository of the pusher that borrows the objects of the daemon's.
pub struct Craft {
    folder: tempfile::TempDir,
    pub repo: git2::Repository,
}

impl Craft {
    pub fn beside(repository: &Path) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let repo = git2::Repository::init_bare(folder.path()).unwrap();
        let theirs = repository.join("objects");
        std::fs::write(folder.path().join("objects/info/alternates"), format!("{}\n", theirs.display()))
            .unwrap();
        Self { repo: git2::Repository::open_bare(repo.path()).unwrap(), folder }
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    pub fn write(&self, kind: ObjectType, bytes: &[u8]) -> Oid {
        self.repo.odb().unwrap().write(kind, bytes).unwrap()
    }

    pub fn blob(&self, bytes: &[u8]) -> Oid {
        self.write(ObjectType::Blob, bytes)
    }

    pub fn tree(&self, entries: &[Entry]) -> Oid {
        self.write(ObjectType::Tree, &raw_tree(entries))
    }

    /// The bytes of an object.
    pub fn read(&self, oid: Oid) -> Vec<u8> {
        self.repo.odb().unwrap().read(oid).unwrap().data().to_vec()
    }

    fn entries(&self, tree: Oid) -> Vec<Entry> {
        let bytes = self.read(tree);
        let (mut rest, mut entries) = (&bytes[..], Vec::new());
        while !rest.is_empty() {
            let space = rest.iter().position(|byte| *byte == b' ').unwrap();
            let end = rest.iter().position(|byte| *byte == 0).unwrap();
            let oid = Oid::from_bytes(&rest[end + 1..end + 21]).unwrap();
            entries.push((rest[..space].to_vec(), rest[space + 1..end].to_vec(), oid));
            rest = &rest[end + 21..];
        }
        entries
    }

    /// The root of `commit` with one folder's entries changed; the folders on the way are made.
    pub fn tree_with(&self, commit: Oid, folder: &str, change: impl FnOnce(&mut Vec<Entry>)) -> Oid {
        let root = self.repo.find_commit(commit).unwrap().tree_id();
        self.changed(Some(root), folder, change)
    }

    fn changed(&self, tree: Option<Oid>, folder: &str, change: impl FnOnce(&mut Vec<Entry>)) -> Oid {
        let mut entries = tree.map_or_else(Vec::new, |tree| self.entries(tree));
        if folder.is_empty() {
            change(&mut entries);
            return self.tree(&entries);
        }
        let (name, below) = folder.split_once('/').unwrap_or((folder, ""));
        let old = entries.iter().position(|entry| entry.1 == name.as_bytes());
        let below = self.changed(old.map(|at| entries[at].2), below, change);
        old.into_iter().for_each(|at| drop(entries.remove(at)));
        insert(&mut entries, FOLDER, name.as_bytes(), below);
        self.tree(&entries)
    }

    /// A root with this entry, in its place by git's order.
    pub fn with_entry(&self, commit: Oid, folder: &str, mode: &str, name: &[u8], oid: Oid) -> Oid {
        self.tree_with(commit, folder, |entries| insert(entries, mode, name, oid))
    }

    /// A root with this file.
    pub fn with_file(&self, commit: Oid, path: &str, bytes: &[u8]) -> Oid {
        let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
        self.with_entry(commit, folder, FILE, name.as_bytes(), self.blob(bytes))
    }

    /// A root without this entry.
    pub fn without(&self, commit: Oid, path: &str) -> Oid {
        let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
        self.tree_with(commit, folder, |entries| entries.retain(|entry| entry.1 != name.as_bytes()))
    }

    /// A file as a commit has it.
    pub fn file(&self, commit: Oid, path: &str) -> String {
        let tree = self.repo.find_commit(commit).unwrap().tree().unwrap();
        let blob = tree.get_path(Path::new(path)).unwrap_or_else(|_| panic!("{path} is not there")).id();
        String::from_utf8(self.read(blob)).unwrap()
    }

    /// Whatever hangs on an object and is not among `theirs`, as entries of a pack.
    pub fn reachable(&self, from: Oid, theirs: &git2::Odb<'_>) -> Vec<Packed> {
        let (mut left, mut seen, mut found) = (vec![from], Vec::new(), Vec::new());
        while let Some(oid) = left.pop() {
            if seen.contains(&oid) || theirs.exists(oid) {
                continue;
            }
            seen.push(oid);
            let (_, kind) = self.repo.odb().unwrap().read_header(oid).unwrap();
            let number = match kind {
                ObjectType::Commit => COMMIT,
                ObjectType::Tree => TREE,
                _ => BLOB,
            };
            match kind {
                ObjectType::Commit => left.push(self.repo.find_commit(oid).unwrap().tree_id()),
                ObjectType::Tree => left.extend(self.entries(oid).into_iter().map(|entry| entry.2)),
                _ => {}
            }
            found.push(Packed::Whole(number, self.read(oid)));
        }
        found
    }

    pub fn commit(&self, tree: Oid, parent: Oid) -> Oid {
        self.commit_of(tree, &[parent], ADA, ADA, "", b"Let me\n")
    }

    pub fn commit_saying(&self, tree: Oid, parent: Oid, message: &[u8]) -> Oid {
        self.commit_of(tree, &[parent], ADA, ADA, "", message)
    }

    pub fn commit_of(
        &self,
        tree: Oid,
        parents: &[Oid],
        author: &str,
        committer: &str,
        headers: &str,
        message: &[u8],
    ) -> Oid {
        let parents: String = parents.iter().map(|parent| format!("parent {parent}\n")).collect();
        let text = format!("tree {tree}\n{parents}author {author}\ncommitter {committer}\n{headers}\n");
        self.write(ObjectType::Commit, &[text.as_bytes(), message].concat())
    }
}

/// Puts an entry where git's order has it, in place of one of the same name.
pub fn insert(entries: &mut Vec<Entry>, mode: &str, name: &[u8], oid: Oid) {
    entries.retain(|entry| entry.1 != name);
    entries.push((mode.into(), name.to_vec(), oid));
    let key = |(mode, name, _): &Entry| {
        let end: &[u8] = if mode == FOLDER.as_bytes() { b"/" } else { b"" };
        [name, end].concat()
    };
    entries.sort_by_key(key);
}

pub fn raw_tree(entries: &[Entry]) -> Vec<u8> {
    let mut raw = Vec::new();
    for (mode, name, oid) in entries {
        raw.extend_from_slice(&[mode, &b" "[..], name, b"\0"].concat());
        raw.extend_from_slice(oid.as_bytes());
    }
    raw
}

/// The id of an object that need not be anywhere.
pub fn id_of(kind: ObjectType, bytes: &[u8]) -> Oid {
    Oid::hash_object(kind, bytes).unwrap()
}

/// An entry of a pack.
pub enum Packed {
    /// Kind as packs number it, content.
    Whole(u8, Vec<u8>),
    /// What it rests on, delta.
    Delta(Oid, Vec<u8>),
    /// Bytes as they are.
    Raw(Vec<u8>),
}

pub const COMMIT: u8 = 1;
pub const TREE: u8 = 2;
pub const BLOB: u8 = 3;

/// A whole pack.
pub fn pack(objects: &[Packed]) -> Vec<u8> {
    pack_claiming(u32::try_from(objects.len()).unwrap(), objects)
}

/// A pack whose header says that it has so many objects.
pub fn pack_claiming(count: u32, objects: &[Packed]) -> Vec<u8> {
    let mut bytes = [b"PACK", &2_u32.to_be_bytes()[..], &count.to_be_bytes()].concat();
    for object in objects {
        match object {
            Packed::Whole(kind, content) => {
                bytes.extend(entry_header(*kind, content.len()));
                bytes.extend(deflated(content));
            }
            Packed::Delta(base, delta) => {
                bytes.extend(entry_header(7, delta.len()));
                bytes.extend_from_slice(base.as_bytes());
                bytes.extend(deflated(delta));
            }
            Packed::Raw(raw) => bytes.extend_from_slice(raw),
        }
    }
    let sum = Sha1::digest(&bytes);
    bytes.extend_from_slice(&sum);
    bytes
}

pub fn entry_header(kind: u8, size: usize) -> Vec<u8> {
    let mut header = vec![(kind << 4) | (size & 15) as u8];
    let mut rest = size >> 4;
    while rest > 0 {
        *header.last_mut().unwrap() |= 0x80;
        header.push((rest & 127) as u8);
        rest >>= 7;
    }
    header
}

pub fn deflated(content: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

pub fn gzipped(content: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

/// A delta: sizes before and after, then copies of the base from its beginning, each of so many bytes.
pub fn copying_delta(base: usize, copies: &[usize]) -> Vec<u8> {
    let mut delta = [size_of_delta(base), size_of_delta(copies.iter().sum())].concat();
    for length in copies {
        delta.push(0x80 | 0x70);
        delta.extend_from_slice(&(*length as u32).to_le_bytes()[..3]);
    }
    delta
}

/// A delta that makes `content` out of nothing of its base.
pub fn inserting_delta(base: usize, content: &[u8]) -> Vec<u8> {
    let mut delta = [size_of_delta(base), size_of_delta(content.len())].concat();
    for chunk in content.chunks(127) {
        delta.push(chunk.len() as u8);
        delta.extend_from_slice(chunk);
    }
    delta
}

fn size_of_delta(mut size: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let low = (size & 127) as u8;
        size >>= 7;
        if size == 0 {
            bytes.push(low);
            return bytes;
        }
        bytes.push(low | 0x80);
    }
}

/// What git sends for one push: the refs to move, and a pack.
pub fn request(moves: &[(String, String, String)], pack: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (at, (old, new, name)) in moves.iter().enumerate() {
        let abilities = if at == 0 { "\0 report-status side-band-64k object-format=sha1" } else { "" };
        bytes.extend(line(format!("{old} {new} {name}{abilities}").as_bytes()));
    }
    bytes.extend_from_slice(b"0000");
    bytes.extend_from_slice(pack);
    bytes
}

pub fn line(text: &[u8]) -> Vec<u8> {
    [format!("{:04x}", text.len() + 4).as_bytes(), text].concat()
}

/// A push of `new` to the branch.
pub fn push_of(old: Oid, new: Oid, pack: &[u8]) -> Vec<u8> {
    request(&[(old.to_string(), new.to_string(), STATE_REF.to_owned())], pack)
}
