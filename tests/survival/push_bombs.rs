//! Packs that are small and mean much, several at once against a real daemon: it stays small, with all that it starts, and
//! others are served meanwhile.

use std::collections::BTreeMap;
use std::fs;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use git2::Oid;

use super::bombs::{self, MIB};
use super::craft::{Craft, gzipped};
use super::daemon::{Api, PROJECTS, Site};

/// The daemon and all that it starts never have more than this together.
const RESIDENT_BYTES_MAX: u64 = 256 << 20;
/// What 99 of 100 others wait at most; this is a build for finding mistakes, on a machine with other work.
const WAIT_MAX: Duration = Duration::from_secs(2);
/// How often each bomb is sent, all of them at once.
const ROUNDS: usize = 3;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bombs_that_are_pushed_at_once_take_little_memory_and_hold_up_nobody() {
    let site = Site::new();
    let daemon = site.start().await;
    daemon.api.create(PROJECTS[0], "first").await.unwrap();
    let bodies = tokio::task::spawn_blocking({
        let repository = site.repo(PROJECTS[0]);
        move || bodies(&repository)
    });
    let bodies = bodies.await.unwrap();
    let over = Arc::new(AtomicBool::new(false));
    let watching = std::thread::spawn({
        let (over, process) = (over.clone(), daemon.id());
        move || most_resident(process, &over)
    });
    let others = tokio::spawn(others(daemon.api.clone(), over.clone()));
    for _ in 0..ROUNDS {
        let pushes = bodies.iter().map(|(name, body)| push(&daemon.api, name, body.clone()));
        join_all(pushes).await;
    }
    over.store(true, Ordering::Relaxed);
    let (most, mut waits) = (watching.join().unwrap(), others.await.unwrap());
    waits.sort_unstable();
    let p99 = waits[waits.len() * 99 / 100];
    let (bytes, parts) = most;
    eprintln!("push bombs: at most {} MiB: {parts:?}; {} other calls, p99 {p99:?}", bytes >> 20, waits.len());
    assert!(bytes < RESIDENT_BYTES_MAX, "{} MiB: {parts:?}", bytes >> 20);
    assert!(p99 < WAIT_MAX, "p99 of others {p99:?}");
}

/// Each with a name; on the tip of the state.
fn bodies(repository: &std::path::Path) -> Vec<(&'static str, Vec<u8>)> {
    let craft = Craft::beside(repository);
    let tip: Oid =
        git2::Repository::open_bare(repository).unwrap().refname_to_id("refs/heads/state").unwrap();
    vec![
        ("200 MiB of zeros", bombs::zeros(&craft, tip, 200 * MIB)),
        ("a delta that makes 400 MiB", bombs::wide_delta(&craft, tip, 400)),
        ("a delta that makes 40 MiB", bombs::wide_delta(&craft, tip, 40)),
        ("a small file whose delta rests on 40 MiB", bombs::huge_in_the_middle(&craft, tip, 40)),
        ("a small file whose delta rests on 20 MiB", bombs::huge_in_the_middle(&craft, tip, 20)),
        ("a tree of 100 MiB", bombs::huge_tree(tip)),
        ("20,000 deltas on one another", bombs::deep_deltas(&craft, tip, 20_000)),
        ("16 MiB that no zlib makes smaller", bombs::noise(&craft, tip, 15 * MIB)),
        ("a gigabyte's sort of gzip", gzipped(&vec![0; 100 * MIB])),
    ]
}

async fn push(api: &Api, name: &str, body: Vec<u8>) {
    let path = format!("/git/{}.git/git-receive-pack", PROJECTS[0]);
    let mut request = api.admin_post(&path).timeout(Duration::from_secs(120)).body(body);
    if name.ends_with("gzip") {
        request = request.header("content-encoding", "gzip");
    }
    let answer = request.send().await.unwrap();
    let status = answer.status().as_u16();
    assert!(matches!(status, 200 | 400 | 413 | 503), "{name}: {status}");
    let said = String::from_utf8_lossy(&answer.bytes().await.unwrap()).into_owned();
    assert!(!said.contains("ok refs/heads/state"), "{name} was taken: {said}");
}

/// Makes jobs and reads them until it is over; tells how long each call took.
async fn others(api: Api, over: Arc<AtomicBool>) -> Vec<Duration> {
    let mut waits = Vec::new();
    while !over.load(Ordering::Relaxed) {
        let begun = Instant::now();
        let (status, job) = api.create(PROJECTS[0], &format!("other-{}", waits.len())).await.unwrap();
        assert_eq!(status.as_u16(), 201, "{job}");
        waits.push(begun.elapsed());
        let begun = Instant::now();
        api.job(job["jobId"].as_str().unwrap()).await;
        waits.push(begun.elapsed());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    waits
}

/// The most that a process and all that come from it held at one time, and who held it.
fn most_resident(process: u32, over: &AtomicBool) -> (u64, Vec<(String, u64)>) {
    let mut most = (0, Vec::new());
    while !over.load(Ordering::Relaxed) {
        let now = resident(process);
        let all = now.iter().map(|(_, bytes)| bytes).sum();
        if all > most.0 {
            most = (all, now);
        }
        std::thread::sleep(Duration::from_millis(3));
    }
    most
}

/// A process: where it comes from, and where its program and its stack lie in memory.
struct Process {
    parent: u32,
    layout: [u64; 3],
}

impl Process {
    fn read(id: u32) -> Option<Self> {
        let stat = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
        let (_, rest) = stat.rsplit_once(") ")?;
        let fields: Vec<&str> = rest.split_whitespace().collect();
        // The third field of all is the first here: the beginning of the program, of the stack and of the arguments.
        let number = |field: usize| fields.get(field - 3)?.parse().ok();
        Some(Self { parent: fields.get(1)?.parse().ok()?, layout: [number(26)?, number(28)?, number(48)?] })
    }

    /// Whether it was forked and has not become another program yet: then all that it has is its parent's. What another
    /// program is lies elsewhere. (Who may not look sees 0 and 1.)
    fn is_copy_of(&self, parent: &Process) -> bool {
        self.layout == parent.layout && self.layout.iter().all(|place| *place > 1)
    }
}

/// Each process of a family by name, and its pages.
fn resident(root: u32) -> Vec<(String, u64)> {
    let mut all = BTreeMap::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let Some(id) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
        all.extend(Process::read(id).map(|process| (id, process)));
    }
    let is_of_family = |id: u32| {
        let mut at = id;
        while at != root && at > 1 {
            at = all.get(&at).map_or(0, |process| process.parent);
        }
        at == root
    };
    let is_counted = |(id, process): &(&u32, &Process)| {
        let is_copy = all.get(&process.parent).is_some_and(|parent| process.is_copy_of(parent));
        is_of_family(**id) && (**id == root || !is_copy)
    };
    all.iter().filter(is_counted).filter_map(|(id, _)| held(*id)).collect()
}

#[test]
fn a_child_that_was_only_forked_is_not_counted_beside_its_parent() {
    let mut shell = Command::new("sh");
    // A shell runs brackets in a child that is a copy of it, and `cat` in one that is another program.
    shell.args(["-c", "exec 3<&0; (read line <&3) & cat <&3; wait"]);
    let mut shell = shell.stdin(Stdio::piped()).spawn().unwrap();
    let names = |of: u32| resident(of).into_iter().map(|(name, _)| name).collect::<Vec<_>>();
    let begun = Instant::now();
    let children = |of: u32| {
        let processes = fs::read_dir("/proc").unwrap().flatten();
        let ids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
        ids.filter_map(Process::read).filter(|process| process.parent == of).count()
    };
    while children(shell.id()) < 2 || names(shell.id()).len() < 2 {
        assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", names(shell.id()));
        std::thread::sleep(Duration::from_millis(5));
    }
    let mut counted = names(shell.id());
    counted.sort();
    assert_eq!(counted, ["cat", "sh"], "and there are two children");
    drop(shell.stdin.take());
    shell.wait().unwrap();
}

fn held(process: u32) -> Option<(String, u64)> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
    let kib: u64 = field("VmRSS:")?.trim_end_matches(" kB").parse().ok()?;
    Some((field("Name:")?.to_owned(), kib << 10))
}
