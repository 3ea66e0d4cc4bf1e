//! What a journal makes of what a crash, a fault or rot left on the disk.

use std::collections::BTreeSet;
use std::fs::OpenOptions;
use std::sync::Arc;

use proptest::prelude::*;

use super::fault::{Fault, FaultDisk};
use super::world::{self, Image, SEGMENT_BYTES, World};
use crate::state::journal::file::{OpenError, Tail};
use crate::state::journal::record::{self, Place};
use crate::state::journal::{Flusher, Journal, Lsn};

const BLOCK: usize = 4096;

/// Three batches of one block each, in the first segment: change n stands at block n.
fn three_batches() -> Image {
    let world = World::start();
    (0..3).for_each(|_| _ = world.commit(100));
    world.crashed()
}

/// Opens an image and says how it ended and what was in it.
fn found(image: &Image) -> (Tail, Vec<u64>) {
    let world = image.open().unwrap();
    (world.recovered.tail, world.recovered_lsns())
}

fn refusal(image: &Image) -> OpenError {
    image.open().map(|world| panic!("opened with {:?}", world.recovered_lsns())).unwrap_err()
}

#[test]
fn a_journal_killed_between_two_batches_ends_in_zeros() {
    assert_eq!(found(&three_batches()), (Tail::End, vec![1, 2, 3]));
}

#[test]
fn a_batch_that_was_being_written_is_torn_and_dropped() {
    let image = three_batches();
    image.edit(1, |bytes| bytes[3 * BLOCK + 150..4 * BLOCK].fill(0));
    assert_eq!(found(&image), (Tail::Torn, vec![1, 2]));
}

#[test]
fn a_torn_batch_keeps_its_whole_records_and_the_numbers_go_on_behind_them() {
    let world = World::start();
    world.commit(SEGMENT_BYTES as usize / 2);
    let first_batch_end = SEGMENT_BYTES as usize / 2 + 2 * BLOCK;
    // While the first of these is written, the others gather in one batch.
    (0..20).for_each(|_| _ = world.append(3000).unwrap());
    world.wait_for(20);
    let image = world.crashed();
    image.edit(1, |bytes| bytes[first_batch_end + 4 * BLOCK + 700] ^= 1);

    match image.open() {
        Ok(world) => {
            let next = world.recovered.next_lsn;
            assert_eq!(world.recovered_lsns(), (1..next.0).collect::<Vec<_>>());
            assert_eq!(world.commit(10), next);
            assert_eq!(world.crashed().open().unwrap().recovered_lsns(), (1..=next.0).collect::<Vec<_>>());
        }
        Err(refused) => assert!(matches!(refused, OpenError::Damaged { .. }), "{refused}"),
    }
}

#[test]
fn records_of_an_earlier_use_of_a_segment_are_stale_and_never_replayed() {
    let world = World::start();
    let mut last = Lsn(0);
    while last < Lsn(4000) || world.journal.backlog().records > 10 {
        last = world.commit(100);
        if last.0.is_multiple_of(50) {
            world.journal.release_before(last);
        }
    }
    let (tail, lsns) = found(&world.crashed());
    assert_eq!(tail, Tail::Stale);
    assert_eq!(lsns.last(), Some(&last.0));
}

#[test]
fn a_file_shorter_than_its_header_says_is_told_apart() {
    let image = three_batches();
    let file = OpenOptions::new().write(true).open(image.segment(1)).unwrap();
    file.set_len(3 * BLOCK as u64 + 50).unwrap();
    assert_eq!(found(&image), (Tail::Truncated, vec![1, 2]));
}

#[test]
fn a_broken_record_before_a_later_batch_is_refused_with_file_and_offset() {
    let image = three_batches();
    image.edit(1, |bytes| bytes[2 * BLOCK + 120] ^= 1);
    let refused = refusal(&image).to_string();
    assert!(refused.contains("segment-0001.journal at byte 8192"), "{refused}");
    assert!(refused.contains("a later one stands at byte 12288"), "{refused}");
    assert!(refused.contains("keep a copy"), "{refused}");
}

#[test]
fn a_zeroed_batch_before_a_later_one_is_refused() {
    let image = three_batches();
    image.edit(1, |bytes| bytes[BLOCK..2 * BLOCK].fill(0));
    assert!(matches!(refusal(&image), OpenError::Damaged { at: 4096, .. }));
}

#[test]
fn a_broken_record_in_a_journal_that_was_stopped_cleanly_is_refused() {
    let world = World::start();
    (0..3).for_each(|_| _ = world.commit(100));
    let image = world.stopped();
    image.edit(1, |bytes| bytes[3 * BLOCK + 120] ^= 1);
    assert!(matches!(refusal(&image), OpenError::Damaged { at: 12288, .. }));
}

#[test]
fn a_missing_segment_is_refused_with_the_numbers_that_are_missing() {
    let world = World::start();
    (0..9).for_each(|_| _ = world.commit(300 << 10));
    let image = world.crashed();
    std::fs::remove_file(image.segment(2)).unwrap();
    assert!(matches!(refusal(&image), OpenError::Missing { from: 4, to: 6, .. }));
}

#[test]
fn a_rotten_header_before_needed_records_is_refused() {
    let image = three_batches();
    image.edit(1, |bytes| bytes[30] ^= 1);
    assert!(matches!(refusal(&image), OpenError::Damaged { at: 0, .. }));
}

#[test]
fn a_copied_segment_and_a_later_format_are_refused() {
    let image = three_batches();
    std::fs::copy(image.segment(1), image.segment(9)).unwrap();
    assert!(matches!(refusal(&image), OpenError::Damaged { .. }));

    let image = three_batches();
    image.edit(1, |bytes| bytes[8] = 2);
    assert!(matches!(refusal(&image), OpenError::OtherVersion { version: 2, .. }));
}

#[test]
fn bytes_of_a_client_that_look_like_a_record_are_not_taken_for_one() {
    let world = World::start();
    // Four bytes bring what follows to a multiple of 16 in the file, so that some of it lies at a block's beginning.
    let mut forged = vec![0; 4];
    let place =
        Place { journal: 1, generation: u64::MAX, lsn: u64::MAX, batch: u64::MAX, released: u64::MAX };
    while forged.len() < 900 << 10 {
        record::encode(place, &world::record(b""), &mut forged);
    }
    world.journal.append(&world::record(&forged), Box::new(|_| {})).unwrap();
    world.journal.flush(Flusher::Thread);
    while world.journal.durable() < Lsn(1) {
        std::thread::yield_now();
    }
    let image = world.crashed();
    image.edit(1, |bytes| bytes[BLOCK + 200] ^= 1);
    assert_eq!(found(&image), (Tail::Torn, vec![]));
}

#[test]
fn a_start_that_has_not_gone_through_takes_no_segment_away() {
    let image = three_batches();
    std::fs::write(image.segment(7), [0; 5000]).unwrap();
    let before = std::fs::read(image.segment(1)).unwrap();
    let world = image.open_only();
    // Three more segments are made, one after the other, and what was there before would come first.
    (0..9).for_each(|_| _ = world.commit(300 << 10));
    assert!(image.segment(7).exists());
    assert_eq!(std::fs::read(image.segment(1)).unwrap(), before);
    world.journal.release_before(Lsn(4));
    while image.segment(7).exists() || std::fs::read(image.segment(1)).unwrap() == before {
        std::thread::yield_now();
    }
}

#[test]
fn a_segment_that_was_being_made_is_removed() {
    let image = three_batches();
    std::fs::write(image.segment(7), [0; 5000]).unwrap();
    let world = image.open().unwrap();
    assert_eq!(world.recovered_lsns(), [1, 2, 3]);
    while image.segment(7).exists() {
        std::thread::yield_now();
    }
}

#[test]
fn after_a_failure_no_callback_runs_and_every_append_says_that_the_journal_stopped() {
    let disk = FaultDisk::default();
    let world = World::start_on(Arc::new(disk.clone())).unwrap();
    world.commit(100);
    disk.cut_power(|| false);
    world.append(100).unwrap();
    let error = loop {
        if let Err(error) = world.append(100) {
            break error.to_string();
        }
    };
    assert!(error.contains("bytes at byte 8192 of the journal file"), "{error}");
    assert!(error.contains("MrX ends now"), "{error}");
    let failures = world.failures.clone();
    assert_eq!(world.take_answered(), [0; 0]);
    drop(world);
    assert_eq!(failures.lock().len(), 1);
}

#[test]
fn a_batch_of_which_the_sync_failed_is_made_durable_before_anything_rests_on_it() {
    let disk = FaultDisk::default();
    let world = World::start_on(Arc::new(disk.clone())).unwrap();
    world.commit(100);
    while world.journal.backlog().bytes < 2 * SEGMENT_BYTES {
        std::thread::yield_now();
    }
    disk.fail_next_sync();
    world.append(100).unwrap();
    while world.failures.lock().is_empty() {
        std::thread::yield_now();
    }
    let folder = world.folder.clone();
    drop(world);

    disk.restart();
    let world = World::open(folder, Arc::new(disk.clone()), 4).unwrap();
    assert_eq!(world.recovered_lsns(), [1, 2], "the kernel still has the second in memory");
    world.commit(100);
    disk.cut_power(|| true);
    assert_eq!(found(&Image::of(&world.journal_folder())), (Tail::End, vec![1, 2, 3]));
}

/// Appends, releases and closes on a disk that fails; gives what was answered and what the disk then holds.
fn live_with(disk: &FaultDisk, sizes: &[usize], lost: impl FnMut() -> bool) -> (Vec<u64>, Option<Image>) {
    let Ok(world) = World::start_on(Arc::new(disk.clone())) else { return (Vec::new(), None) };
    let mut answered = Vec::new();
    for (index, bytes) in sizes.iter().enumerate() {
        if world.append(*bytes).is_err() {
            continue;
        }
        answered.extend(world.take_answered());
        if let (0, Some(last)) = (index % 7, answered.last()) {
            world.journal.release_before(Lsn(last.saturating_sub(3)));
        }
    }
    let failed = !world.failures.lock().is_empty();
    let folder = world.journal_folder();
    let released = world.journal.shared.state.lock().room.released;
    disk.cut_power(lost);
    answered.extend(world.take_answered());
    assert!(!failed || world.append(8).is_err(), "it goes on after a failure");
    answered.retain(|lsn| *lsn >= released);
    (answered, Some(Image::of(&folder)))
}

fn nothing_answered_is_missing(answered: &[u64], image: &Image) {
    let world = image.open().unwrap();
    let found: BTreeSet<u64> = world.recovered_lsns().into_iter().collect();
    let missing: Vec<_> = answered.iter().filter(|lsn| !found.contains(lsn)).collect();
    assert!(missing.is_empty(), "answered and missing: {missing:?}, found {found:?}");
    if let Some(last) = answered.last() {
        assert!(world.recovered.next_lsn > Lsn(*last), "a number is given twice");
    }
}

#[test]
fn whichever_call_to_the_disk_fails_nothing_answered_is_missing_after_the_restart() {
    let sizes: Vec<usize> = (0..30).map(|index| 100 + index % 5 * (50 << 10)).collect();
    for fault in [Fault::Error, Fault::NoRoom, Fault::Half] {
        let mut call = 0;
        loop {
            let disk = FaultDisk::failing_at(call, fault);
            let (answered, image) = live_with(&disk, &sizes, || true);
            image.iter().for_each(|image| nothing_answered_is_missing(&answered, image));
            if disk.calls() <= call {
                break;
            }
            call += 1;
        }
    }
}

/// Pseudo-random choices that follow from a seed (xorshift).
fn chances(mut seed: u64) -> impl FnMut() -> u64 {
    move || {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn whenever_the_power_is_cut_and_whichever_sectors_are_lost_nothing_answered_is_missing(
        sizes in prop::collection::vec(prop_oneof![8..3000_usize, 8..120_000_usize], 1..60),
        call in 0..90_usize,
        seed in 1..u64::MAX,
    ) {
        let disk = FaultDisk::failing_at(call, Fault::Error);
        let mut next = chances(seed);
        let (answered, image) = live_with(&disk, &sizes, || next() & 1 == 0);
        image.iter().for_each(|image| nothing_answered_is_missing(&answered, image));
    }

    #[test]
    fn damage_anywhere_leaves_every_batch_before_it_or_is_refused(
        sizes in prop::collection::vec(prop_oneof![8..3000_usize, 8..40_000_usize], 1..20),
        waits in 1..4_usize,
        stopped in any::<bool>(),
        harm in 0..3_u8,
        place in 0.0..1.0_f64,
    ) {
        let world = World::start();
        let mut ends = Vec::new();
        for (index, bytes) in sizes.iter().enumerate() {
            world.append(*bytes).unwrap();
            if index % waits == 0 {
                while world.journal.durable() < Lsn(index as u64 + 1) { std::thread::yield_now(); }
                ends.push((index as u64 + 1, world.journal.shared.state.lock().room.used()));
            }
        }
        let used = world.journal.shared.state.lock().room.used();
        let image = if stopped { world.stopped() } else { world.crashed() };
        let at = (place * used as f64) as usize;
        image.edit(1, |bytes| match harm {
            0 => bytes.truncate(at),
            1 => bytes[at] ^= 0x10,
            _ => { let end = bytes.len().min(at + 5000); bytes[at..end].fill(0) }
        });
        let whole = ends.iter().filter(|(_, end)| *end <= at as u64).map(|(lsn, _)| *lsn).max().unwrap_or(0);
        if let Ok(after) = image.open() {
            let lsns = after.recovered_lsns();
            prop_assert_eq!(&lsns, &(1..=lsns.len() as u64).collect::<Vec<_>>());
            prop_assert!(lsns.len() as u64 >= whole, "{} of {} durable before the damage", lsns.len(), whole);
        }
    }
}
