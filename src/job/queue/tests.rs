//! What the queue promises, told with jobs of its own making.

use super::*;
use crate::id::IdMaker;

struct Made(IdMaker, u64);
impl Made {
    fn entry(&mut self, project: &str, priority: i8, labels: &[&str]) -> Entry {
        self.1 += 1;
        let project: ProjectId = project.parse().unwrap();
        let labels = labels.iter().map(|label| label.parse().unwrap()).collect();
        Entry {
            job: self.0.job(&project, Time::from_millis(1_763_663_400_000 + self.1)),
            project,
            priority,
            demand: Demand { kind: JobType::Build, timeout_seconds: 600, labels, group: None },
        }
    }
}

fn made() -> Made {
    Made(IdMaker::new(), 0)
}

/// Takes everything, as agents that claim at once.
fn taken(queue: &Queue, offer: &Offer) -> Vec<JobId> {
    let mut order = Vec::new();
    while let Some(reservation) = queue.take(offer) {
        order.push(reservation.entry().job.clone());
        queue.withdraw(&reservation.entry().job);
    }
    order
}

#[test]
fn jobs_go_by_priority_then_in_turns_between_projects_then_by_age() {
    let (queue, mut made) = (Queue::default(), made());
    let entries: Vec<Entry> =
        [("mrx-a", 0), ("mrx-a", 0), ("mrx-a", 0), ("mrx-b", 0), ("mrx-b", 0), ("mrx-c", 5)]
            .iter()
            .map(|(project, priority)| made.entry(project, *priority, &[]))
            .collect();
    entries.iter().for_each(|entry| queue.offer(entry.clone()));
    let order = taken(&queue, &Offer::default());
    let expected: Vec<JobId> = [5, 0, 3, 1, 4, 2].iter().map(|at| entries[*at].job.clone()).collect();
    assert_eq!(order, expected);
}

#[test]
fn an_agent_gets_only_what_its_labels_types_projects_and_time_allow() {
    let (queue, mut made) = (Queue::default(), made());
    let gpu = made.entry("mrx-a", 9, &["gpu"]);
    let plain = made.entry("mrx-b", 0, &[]);
    queue.offer(gpu.clone());
    queue.offer(plain.clone());
    let other = Offer { types: Some(BTreeSet::from([JobType::Chat])), ..Offer::default() };
    assert!(queue.take(&other).is_none());
    let short = Offer { seconds_left: Some(599), ..Offer::default() };
    assert!(queue.take(&short).is_none());
    let elsewhere = Offer { projects: Some(BTreeSet::from(["mrx-c".parse().unwrap()])), ..Offer::default() };
    assert!(queue.take(&elsewhere).is_none());
    assert_eq!(queue.take(&Offer::default()).unwrap().entry().job, plain.job);
    let labelled = Offer { labels: BTreeSet::from(["gpu".parse().unwrap()]), ..Offer::default() };
    assert_eq!(queue.take(&labelled).unwrap().entry().job, gpu.job);
}

#[test]
fn a_reserved_job_is_offered_again_only_when_its_reservation_is_dropped() {
    let (queue, mut made) = (Queue::default(), made());
    queue.offer(made.entry("mrx-a", 0, &[]));
    let reservation = queue.take(&Offer::default()).unwrap();
    assert!(queue.take(&Offer::default()).is_none());
    drop(reservation);
    let reservation = queue.take(&Offer::default()).unwrap();
    queue.withdraw(&reservation.entry().job);
    drop(reservation);
    assert!(queue.take(&Offer::default()).is_none(), "a claimed job does not come back");
}

#[test]
fn a_paused_projects_jobs_wait_and_then_go_to_whoever_waits() {
    let (queue, mut made) = (Queue::default(), made());
    let (held, other) = (made.entry("mrx-a", 9, &[]), made.entry("mrx-b", 0, &[]));
    queue.pause(&held.project, true);
    queue.offer(held.clone());
    queue.offer(other.clone());
    assert_eq!(taken(&queue, &Offer::default()), [other.job]);
    let mut waits = queue.wait(Offer::default());
    queue.pause(&held.project, false);
    assert_eq!(waits.job.try_recv().unwrap().entry().job, held.job);
}

#[test]
fn an_agent_that_drains_gets_nothing_also_if_it_waits_already() {
    let (queue, mut made) = (Queue::default(), made());
    let agent: AgentId = "builder-1".parse().unwrap();
    let offer = Offer { agent: Some(agent.clone()), ..Offer::default() };
    let mut waits = queue.wait(offer.clone());
    queue.drain(&agent, true);
    let job = made.entry("mrx-a", 0, &[]);
    queue.offer(job.clone());
    assert!(waits.job.try_recv().is_err() && queue.take(&offer).is_none());
    queue.drain(&agent, false);
    assert_eq!(waits.job.try_recv().unwrap().entry().job, job.job);
}

#[tokio::test]
async fn a_new_job_wakes_exactly_one_waiting_agent_and_a_gone_one_is_passed_over() {
    let (queue, mut made) = (Queue::default(), made());
    drop(queue.wait(Offer::default()));
    let (mut first, mut second) = (queue.wait(Offer::default()), queue.wait(Offer::default()));
    queue.offer(made.entry("mrx-a", 0, &[]));
    let reserved = first.job.try_recv();
    assert!(reserved.is_ok());
    assert!(second.job.try_recv().is_err());
}

#[tokio::test]
async fn a_job_handed_to_an_agent_that_went_away_goes_to_the_next() {
    let (queue, mut made) = (Queue::default(), made());
    let (first, mut second) = (queue.wait(Offer::default()), queue.wait(Offer::default()));
    queue.offer(made.entry("mrx-a", 0, &[]));
    drop(first);
    assert!(second.job.try_recv().is_ok());
}

/// An agent claims: the job it got is held from then on.
fn claimed(queue: &Queue) -> Option<Entry> {
    let reservation = queue.take(&Offer::default())?;
    let entry = reservation.entry().clone();
    queue.hold(entry.clone());
    Some(entry)
}

#[test]
fn a_project_has_no_more_jobs_held_or_reserved_than_its_limit() {
    let (queue, mut made) = (Queue::default(), made());
    let entries: Vec<Entry> = (0..4).map(|_| made.entry("mrx-a", 0, &[])).collect();
    queue.limit(&entries[0].project, Some(2));
    entries.iter().for_each(|entry| queue.offer(entry.clone()));
    let first = claimed(&queue).unwrap();
    let reserved = queue.take(&Offer::default()).unwrap();
    assert!(queue.take(&Offer::default()).is_none(), "one is held, one is reserved");
    drop(reserved);
    assert!(claimed(&queue).is_some());
    assert!(claimed(&queue).is_none());
    let mut waits = queue.wait(Offer::default());
    queue.withdraw(&first.job);
    assert!(waits.job.try_recv().is_ok(), "one ended, so one who waits gets the next");
}

#[test]
fn a_raised_limit_serves_those_who_wait_and_other_projects_are_not_held_up() {
    let (queue, mut made) = (Queue::default(), made());
    let (one, two, other) =
        (made.entry("mrx-a", 9, &[]), made.entry("mrx-a", 9, &[]), made.entry("mrx-b", 0, &[]));
    queue.limit(&one.project, Some(1));
    [&one, &two, &other].into_iter().for_each(|entry| queue.offer(entry.clone()));
    assert_eq!(claimed(&queue), Some(one.clone()));
    assert_eq!(claimed(&queue), Some(other));
    let mut waits = queue.wait(Offer::default());
    assert!(waits.job.try_recv().is_err());
    queue.limit(&one.project, None);
    assert_eq!(waits.job.try_recv().unwrap().entry().job, two.job);
}

#[test]
fn of_a_group_one_job_is_out_at_a_time_and_the_next_follows_when_it_ends() {
    let (queue, mut made) = (Queue::default(), made());
    let mut grouped = |project: &str| {
        let mut entry = made.entry(project, 0, &[]);
        entry.demand.group = Some((entry.project.clone(), "deploy".parse().unwrap()));
        queue.offer(entry.clone());
        entry
    };
    let (first, second, other) = (grouped("mrx-a"), grouped("mrx-a"), grouped("mrx-b"));
    assert_eq!(
        (claimed(&queue), claimed(&queue)),
        (Some(first.clone()), Some(other)),
        "groups are a project's own"
    );
    assert_eq!(claimed(&queue), None);
    let mut waits = queue.wait(Offer::default());
    queue.offer(first.clone());
    assert_eq!(waits.job.try_recv().unwrap().entry().job, first.job, "it waits again, and is the oldest");
    queue.withdraw(&first.job);
    assert_eq!(claimed(&queue), Some(second));
}

#[test]
fn a_job_takes_room_of_the_group_that_its_file_names_now() {
    let (queue, mut made) = (Queue::default(), made());
    let mut grouped = |group: &str| {
        let mut entry = made.entry("mrx-a", 0, &[]);
        entry.demand.group = Some((entry.project.clone(), group.parse().unwrap()));
        entry
    };
    let (mut moved, next) = (grouped("deploy"), grouped("deploy"));
    queue.hold(moved.clone());
    queue.offer(next.clone());
    assert!(queue.take(&Offer::default()).is_none());
    moved.demand.group = grouped("docs").demand.group;
    let mut waits = queue.wait(Offer::default());
    queue.hold(moved.clone());
    let reserved =
        waits.job.try_recv().expect("nobody has a job of its group now, and who waits gets the next");
    queue.offer(Entry { priority: 1, ..next.clone() });
    assert_eq!(queue.depth(), (0, 0), "a reserved job stays so, also if its file changes");
    drop(reserved);
    assert_eq!(claimed(&queue).map(|entry| entry.priority), Some(1), "it is offered as its file is now");
    queue.withdraw(&next.job);
    queue.withdraw(&moved.job);
    assert_eq!((queue.depth().0, queue.0.lock().busy.jobs()), (0, 0));
}
