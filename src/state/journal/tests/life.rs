//! A journal's life: append, close, reopen, fill up, recycle.

use std::fs;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::thread::{self, ThreadId};
use std::time::Duration;

use super::fault::FaultDisk;
use super::world::{SEGMENT_BYTES, World, record};
use crate::state::disk::RealDisk;
use crate::state::journal::file::{FileJournal, JournalOptions, OpenError, Tail};
use crate::state::journal::{Flusher, Journal, JournalError, Lsn};

const LARGE: usize = 300 << 10;

#[test]
fn a_new_journal_is_empty_and_begins_with_one() {
    let world = World::start();
    assert_eq!(world.recovered.tail, Tail::End);
    assert_eq!(world.journal.durable(), Lsn(0));
    assert_eq!(world.commit(100), Lsn(1));
    assert_eq!(world.journal.durable(), Lsn(1));
}

#[test]
fn what_was_answered_is_there_after_a_crash() {
    let world = World::start();
    for bytes in [8, 100, 4000, 4096, 5000, 100_000] {
        world.commit(bytes);
    }
    let after = world.crashed().open().unwrap();
    assert_eq!(after.recovered_lsns(), [1, 2, 3, 4, 5, 6]);
    assert_eq!(after.recovered.next_lsn, Lsn(7));
}

#[test]
fn what_was_taken_is_there_after_a_clean_stop() {
    let world = World::start();
    for _ in 0..20 {
        world.append(1000).unwrap();
    }
    let after = world.reopen();
    assert_eq!(after.recovered.tail, Tail::Clean);
    assert_eq!(after.recovered_lsns(), (1..=20).collect::<Vec<_>>());
}

#[test]
fn a_journal_that_took_nothing_stops_cleanly() {
    let world = World::start();
    world.commit(10);
    let after = world.reopen().reopen().reopen();
    assert_eq!(after.recovered.tail, Tail::Clean);
    assert_eq!(after.recovered_lsns(), [1]);
}

#[test]
fn callbacks_run_in_the_order_of_the_records() {
    let world = World::start();
    let appended: Vec<u64> = (0..500).map(|bytes| world.append(bytes + 8).unwrap().0).collect();
    assert_eq!(world.wait_for(500), appended);
}

#[test]
fn many_threads_append_and_each_record_is_answered_once() {
    let world = World::start();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for number in 0..50 {
                    let answered = world.journal.shared.clone();
                    world
                        .journal
                        .append(
                            &record(b"x"),
                            Box::new(move |lsn| {
                                assert!(answered.durable.load(std::sync::atomic::Ordering::Acquire) >= lsn.0);
                            }),
                        )
                        .unwrap();
                    world.journal.flush(if number % 2 == 0 { Flusher::Caller } else { Flusher::Thread });
                }
            });
        }
    });
    let after = world.reopen();
    assert_eq!(
        after.recovered.records().map(|record| record.unwrap().lsn.0).collect::<Vec<_>>(),
        (1..=200).collect::<Vec<_>>()
    );
}

/// On which thread a record's callback ran, after the batch before it took so long.
fn told_by(world: &World, last_took: Duration, by: Flusher) -> ThreadId {
    world.commit(10);
    while world.journal.shared.state.lock().is_writing {
        thread::yield_now();
    }
    world.journal.shared.state.lock().last_took = Some(last_took);
    let (told, heard) = channel();
    let tell = Box::new(move |_| told.send(thread::current().id()).unwrap());
    world.journal.append(&record(b"x"), tell).unwrap();
    world.journal.flush(by);
    heard.recv().unwrap()
}

#[test]
fn a_caller_makes_its_record_durable_itself_while_the_disk_is_quick() {
    let (world, own) = (World::start(), thread::current().id());
    assert_eq!(told_by(&world, Duration::from_micros(100), Flusher::Caller), own);
    assert_ne!(told_by(&world, Duration::from_millis(5), Flusher::Caller), own, "the disk is slow");
    assert_ne!(told_by(&world, Duration::from_micros(100), Flusher::Thread), own, "it was not asked to");
}

#[test]
fn numbers_go_on_after_each_reopening_and_are_never_given_twice() {
    let mut world = World::start();
    for round in 0..6 {
        assert_eq!(world.commit(100), Lsn(2 * round + 1));
        assert_eq!(world.commit(100), Lsn(2 * round + 2));
        if round == 3 {
            world.journal.release_before(Lsn(8));
        }
        world = if round % 2 == 1 { world.reopen() } else { world.crashed().open().unwrap() };
        assert_eq!(world.recovered.next_lsn, Lsn(2 * round + 3));
    }
}

#[test]
fn released_records_are_not_recovered() {
    let world = World::start();
    (0..10).for_each(|_| _ = world.commit(100));
    world.journal.release_before(Lsn(8));
    assert_eq!(world.journal.backlog().records, 3);

    let after = world.reopen();
    assert_eq!(after.recovered_lsns(), [8, 9, 10]);
    assert_eq!(after.recovered.released, Lsn(8));
}

#[test]
fn numbers_go_on_when_everything_was_released() {
    let world = World::start();
    (0..10).for_each(|_| _ = world.commit(100));
    world.journal.release_before(Lsn(11));

    let after = world.reopen().reopen();
    assert_eq!(after.recovered_lsns(), [0; 0]);
    assert_eq!(after.commit(10), Lsn(11));
}

#[test]
fn segments_are_used_again_over_many_generations() {
    let mut world = World::start();
    let mut last = Lsn(0);
    for round in 0..60 {
        last = world.commit(LARGE);
        if round % 2 == 0 {
            world.journal.release_before(last);
        }
        if round % 20 == 19 {
            world = world.crashed().open().unwrap();
            assert_eq!(world.recovered_lsns().last(), Some(&last.0));
        }
    }
    let files = fs::read_dir(world.journal_folder()).unwrap().count();
    assert!(files <= 4, "{files} segments for {} MiB", (last.0 * LARGE as u64) >> 20);
}

#[test]
fn a_full_journal_says_that_publishing_lags_and_goes_on_when_records_are_released() {
    let world = World::start();
    let error = loop {
        if let Err(error) = world.append(LARGE) {
            break error;
        }
    };
    assert!(matches!(&error, JournalError::Full(why) if why.contains("publishing lags")), "{error}");
    let taken = world.journal.backlog().records;
    assert_eq!(taken, 4 * (SEGMENT_BYTES / LARGE as u64), "four segments are full");
    assert_eq!(world.wait_for(taken as usize).len() as u64, taken, "what was taken is completed");

    world.journal.release_before(Lsn(taken + 1));
    assert_eq!(world.commit(LARGE), Lsn(taken + 1));
    assert_eq!(world.reopen().recovered_lsns(), [taken + 1]);
}

#[test]
fn a_full_disk_is_said_and_the_journal_goes_on_by_itself_when_there_is_room() {
    let disk = FaultDisk::default();
    disk.set_full(true);
    let world = World::start_on(Arc::new(disk.clone())).unwrap();
    let error = world.append(LARGE).unwrap_err();
    assert!(matches!(&error, JournalError::Full(why) if why.contains("No space left")), "{error}");

    disk.set_full(false);
    while let Err(error) = world.append(LARGE) {
        assert!(matches!(error, JournalError::Full(_)), "{error}");
    }
    assert_eq!(world.wait_for(1), [1]);
    assert_eq!(*world.failures.lock(), [""; 0]);
}

#[test]
fn a_record_of_8_mib_fits_the_default_segment() {
    let folder = tempfile::tempdir().unwrap();
    let options = JournalOptions::new(folder.path().join("journal"), Arc::new(|_: &str| {}));
    let (journal, _) = FileJournal::open(options, Arc::new(RealDisk)).unwrap();
    let entries = vec![1; 8 << 20];
    assert_eq!(journal.append(&record(&entries), Box::new(|_| {})), Ok(Lsn(1)));
    journal.close();
}

#[test]
fn a_record_larger_than_a_segment_is_refused_with_the_limit_and_harms_nothing() {
    let world = World::start();
    let error = world.append(SEGMENT_BYTES as usize).unwrap_err();
    assert!(
        matches!(&error, JournalError::TooLarge(why) if why.contains("the limit is 1040384 bytes")),
        "{error}"
    );
    assert_eq!(world.commit(1_040_000), Lsn(1));
    assert_eq!(world.commit(1_040_000), Lsn(2));
    assert_eq!(world.reopen().recovered_lsns(), [1, 2]);
}

#[test]
fn options_out_of_their_bounds_are_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let mut options = JournalOptions::new(folder.path(), Arc::new(|_: &str| {}));
    options.segment_bytes = (1 << 20) + 1;
    let refused = FileJournal::open(options, Arc::new(RealDisk)).map(|_| ()).unwrap_err();
    assert!(matches!(refused, OpenError::BadOption { option: "segment_bytes", .. }), "{refused}");
}

#[test]
fn segments_of_another_size_are_read_and_then_removed() {
    let world = World::start();
    (0..5).for_each(|_| _ = world.commit(LARGE));
    let image = world.stopped();
    let mut options = JournalOptions::new(image.segment(1).parent().unwrap(), Arc::new(|_: &str| {}));
    options.segment_bytes = 2 * SEGMENT_BYTES;

    let (journal, recovered) = FileJournal::open(options.clone(), Arc::new(RealDisk)).unwrap();
    assert_eq!(recovered.records().count(), 5);
    journal.release_before(Lsn(6));
    journal.append(&record(b"x"), Box::new(|_| {})).unwrap();
    while journal.backlog().bytes % options.segment_bytes != 0 || image.segment(1).exists() {
        std::thread::yield_now();
    }
    journal.close();
    let (_, recovered) = FileJournal::open(options, Arc::new(RealDisk)).unwrap();
    assert_eq!(recovered.records().count(), 1);
}
