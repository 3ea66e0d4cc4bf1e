//! Stories of folding: whatever packs there are, every object is still there.

use std::collections::HashMap;
use std::time::SystemTime;

use proptest::prelude::*;

use super::*;
use crate::git::child::Program;
use crate::state::create;
use crate::state::disk::RealDisk;
use crate::state::oid::Kind;
use crate::state::pack::{Draft, Splice};
use crate::state::{publish, refs};

/// A repository, and what every object in it holds.
struct World {
    folder: tempfile::TempDir,
    held: HashMap<Oid, (Kind, Vec<u8>)>,
    tip: Oid,
}

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        create::repository(&RealDisk, folder.path()).unwrap();
        Self { folder, held: HashMap::new(), tip: Oid::ZERO }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn git(&self, arguments: &[&str]) -> String {
        String::from_utf8(Program::git(self.path()).args(arguments).run().unwrap()).unwrap()
    }

    fn put(&mut self, draft: &mut Draft, kind: Kind, content: Vec<u8>) -> Oid {
        let oid = Oid::of(kind, &content);
        draft.put(kind, oid, &content);
        self.held.insert(oid, (kind, content));
        oid
    }

    /// A pack with a commit of one file, whose content is a chain of spliced versions; what is in `again` stands in it too.
    fn publish(&mut self, seed: u8, versions: usize, again: &[Vec<u8>]) {
        let mut draft = Draft::default();
        let mut content: Vec<u8> = (0..3000u32).map(|n| (n as u8).wrapping_mul(seed)).collect();
        for bytes in again {
            self.put(&mut draft, Kind::Blob, bytes.clone());
        }
        let mut blob = self.put(&mut draft, Kind::Blob, content.clone());
        let mut base = draft.find(&blob).unwrap();
        for version in 0..versions {
            let (at, base_bytes) = (version * 37 % 2000, content.len());
            content.splice(at..at + 3, [seed, version as u8, 1, 2]);
            blob = Oid::of(Kind::Blob, &content);
            base = draft.put_spliced(
                blob,
                &content,
                Splice { base, base_bytes, prefix: at, suffix: base_bytes - at - 3 },
            );
            self.held.insert(blob, (Kind::Blob, content.clone()));
        }
        let tree = self.put(&mut draft, Kind::Tree, [b"100644 file\0".as_slice(), &blob.0].concat());
        let parent = if self.tip == Oid::ZERO { String::new() } else { format!("parent {}\n", self.tip) };
        let who = format!("MrX <daemon@mrx.invalid> {} +0000", 1_700_000_000 + self.held.len());
        let text = format!("tree {tree}\n{parent}author {who}\ncommitter {who}\n\nversion {seed}\n");
        let commit = self.put(&mut draft, Kind::Commit, text.into_bytes());
        publish::write_pack(&RealDisk, self.path(), &draft.finish()).unwrap();
        refs::swap(&RealDisk, self.path(), "refs/heads/state", self.tip, commit).unwrap();
        self.tip = commit;
    }

    fn packs(&self) -> Vec<PackFile> {
        packs::list(self.path()).unwrap()
    }

    fn fold(&self, sources: &[PackFile]) -> String {
        let name = merge(&RealDisk, self.path(), sources, &|| true).unwrap();
        sources.iter().filter(|pack| pack.name != name).for_each(|pack| {
            packs::remove(&RealDisk, self.path(), &pack.name).unwrap();
        });
        name
    }

    /// Every object reads back, and git has nothing to say.
    fn is_whole(&self) {
        let repo = git2::Repository::open_bare(self.path()).unwrap();
        for (oid, (_, content)) in &self.held {
            assert_eq!(repo.odb().unwrap().read(oid.to_git()).unwrap().data(), content, "{oid}");
        }
        self.git(&["fsck", "--strict", "--full"]);
        for pack in self.packs() {
            self.git(&["verify-pack", &format!("objects/pack/{}.idx", pack.name)]);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn a_fold_of_any_packs_keeps_every_object(
        packs in prop::collection::vec((0..6u8, 0..30usize, prop::collection::vec(0..4u8, 0..3)), 2..8), left in 0..3usize,
    ) {
        let mut world = World::new();
        for (seed, versions, again) in packs {
            // The same seeds and blobs come again, so packs overlap in whole objects and in bases of deltas.
            let again: Vec<Vec<u8>> = again.into_iter().map(|seed| (0..3000u32).map(|n| (n as u8).wrapping_mul(seed)).collect()).collect();
            world.publish(seed, versions, &again);
        }
        let before = world.packs();
        let folded = before.len().saturating_sub(left).max(1);
        world.fold(&before[..folded]);
        prop_assert!(world.packs().len() <= before.len() - folded + 1);
        world.is_whole();
    }
}

#[test]
fn a_pack_of_gits_own_with_deltas_by_name_is_folded_with_ours() {
    let mut world = World::new();
    (1..5).for_each(|seed| world.publish(seed, 9, &[]));
    // Without --delta-base-offset git names the base of a delta by its id.
    let ids: Vec<u8> = world.held.keys().flat_map(|oid| format!("{oid} file\n").into_bytes()).collect();
    let pack = ["pack-objects", "-q", "--no-reuse-delta", "--window=50", "objects/pack/pack"];
    let hash = Program::git(world.path()).args(pack).input(ids).run().unwrap();
    let hash = String::from_utf8(hash).unwrap();
    let listing = world.git(&["verify-pack", "-v", &format!("objects/pack/pack-{}.idx", hash.trim())]);
    assert!(listing.contains("chain length"), "the pack has deltas: {listing}");
    world.publish(6, 5, &[]);
    world.fold(&world.packs());
    assert_eq!(world.packs().len(), 1);
    world.is_whole();
}

#[test]
fn a_fold_of_packs_that_hold_the_same_keeps_the_one_that_it_equals() {
    let mut world = World::new();
    world.publish(3, 4, &[]);
    let first = world.packs();
    assert_eq!(world.fold(&first), first[0].name);
    world.is_whole();
}

#[test]
fn a_damaged_pack_is_not_folded_and_nothing_is_changed() {
    use std::os::unix::fs::PermissionsExt;
    let mut world = World::new();
    (1..4).for_each(|seed| world.publish(seed, 3, &[]));
    let before = world.packs();
    let path = packs::folder(world.path()).join(format!("{}.pack", before[1].name));
    let mut bytes = fs::read(&path).unwrap();
    bytes[200] ^= 1;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    fs::write(&path, bytes).unwrap();
    let refusal = merge(&RealDisk, world.path(), &before, &|| false).unwrap_err();
    assert!(matches!(refusal, FoldError::Damaged { .. }), "{refusal}");
    let names = |packs: Vec<PackFile>| packs.into_iter().map(|pack| pack.name).collect::<Vec<_>>();
    assert_eq!(names(world.packs()), names(before));
    assert_eq!(fs::read_dir(packs::folder(world.path())).unwrap().count(), 6, "no temporary file is left");
}

fn pack(bytes: u64) -> PackFile {
    let (name, modified) = (format!("pack-{bytes}"), SystemTime::UNIX_EPOCH);
    PackFile { name, bytes, modified, is_kept: false, is_cruft: false, is_gits: false }
}

#[test]
fn small_packs_are_folded_and_large_ones_left_until_there_are_many() {
    let sizes = |sizes: &[u64]| sizes.iter().map(|bytes| pack(*bytes)).collect::<Vec<_>>();
    let alike = vec![pack(1000); 17];
    assert_eq!(choose(&alike, FOLDED_BYTES_MAX).len(), 17);
    let one_large = [vec![pack(1000); 16], sizes(&[1 << 20])].concat();
    assert_eq!(
        choose(&one_large, FOLDED_BYTES_MAX).len(),
        16,
        "a large pack is not copied for the sake of small ones"
    );
    let huge = [vec![pack(1000); 3], vec![pack(PACK_BYTES_MAX + 1); 30]].concat();
    assert_eq!(choose(&huge, FOLDED_BYTES_MAX).len(), 3, "a huge pack is never copied");
    assert!(choose(&[pack(1)], FOLDED_BYTES_MAX).is_empty());
    assert!(choose(&[], FOLDED_BYTES_MAX).is_empty());
}

#[test]
fn a_byte_is_copied_few_times_however_long_packs_come() {
    let (mut packs, mut copied, mut most) = (Vec::new(), 0, 0);
    for number in 0..20_000u64 {
        packs.push(pack(100_000 + number % 1000));
        packs.sort_by_key(|pack| pack.bytes);
        if packs.len() > 16 {
            let count = choose(&packs, FOLDED_BYTES_MAX).len();
            let folded: u64 = packs.drain(..count).map(|pack| pack.bytes).sum();
            copied += folded;
            packs.push(pack(folded));
            packs.sort_by_key(|pack| pack.bytes);
        }
        most = most.max(packs.len());
    }
    assert!(most <= 20, "{most} packs at the most");
    let times = copied / (20_000 * 100_000);
    assert!(times <= 6, "a byte is copied {times} times");
}
