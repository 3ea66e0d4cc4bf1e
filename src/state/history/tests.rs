//! Stories of history: the life of a job, a commit, and how things stood.

use super::*;
use crate::app::App;
use crate::bench::seed;
use crate::id::ProjectId;
use crate::job::JobType;
use crate::job::NewJob;
use crate::state::edit::{Actor, Change, Edit};
use crate::state::object::Object;
use crate::state::repo::{Decision, View};

/// A data folder with a project.
struct World {
    _folder: tempfile::TempDir,
    app: App,
    project: ProjectId,
    repo: RepoName,
}

impl World {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (app, project) = seed::open(folder.path()).await.unwrap();
        let repo = RepoName::Project(project.clone());
        Self { _folder: folder, app, project, repo }
    }

    async fn job(&self) -> JobId {
        let (payload, timeout_seconds) = (Object::from_iter([("ref".to_owned(), "main".into())]), 60);
        let project = self.project.clone();
        let new = NewJob {
            project,
            kind: JobType::Build,
            payload,
            priority: 0,
            labels: Vec::new(),
            timeout_seconds,
            needs: Vec::new(),
            concurrency_group: None,
        };
        self.app.jobs.create(new, Actor::daemon(), None).await.unwrap().answer.job_id.clone()
    }

    async fn write(&self, path: &str, text: Option<&str>) -> Oid {
        let edit = text.map_or_else(|| Edit::remove(path), |text| Edit::write(path, text.to_owned()));
        let (subject, actor) = (format!("write {path}"), Actor::daemon());
        let change = Change {
            branch: STATE_REF.into(),
            subject,
            event: "test",
            actor,
            request: None,
            edits: vec![edit],
        };
        let decide = |_: &mut View<'_>| -> Result<_, EngineError> { Ok(Decision::commit(change, ())) };
        self.app.state.change(&self.repo, decide).await.unwrap().commit
    }

    async fn log(&self, about: &str, after: Option<Oid>, limit: usize) -> Vec<Event> {
        let filter = Filter { about: Some(about.parse().unwrap()), after, limit };
        self.app.state.log(&self.repo, filter).await.unwrap()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.app.state.close();
    }
}

fn subjects(events: &[Event]) -> Vec<&str> {
    events
        .iter()
        .map(|event| event.subject.split_once(": ").map_or(event.subject.as_str(), |(_, what)| what))
        .collect()
}

#[tokio::test]
async fn the_history_of_a_job_is_found_by_its_id_across_open_and_done() {
    let world = World::new().await;
    let (job, other) = (world.job().await, world.job().await);
    world.app.jobs.cancel(&job, Actor::daemon()).await.unwrap();
    world.app.jobs.cancel(&other, Actor::daemon()).await.unwrap();
    let done = world.app.jobs.get(&job).await.unwrap();
    let done = layout::done_job(&job, done.ended_at.unwrap());
    world.write(&done, Some("a note of somebody\n")).await;
    let text = crate::state::yaml::write(&*world.app.jobs.get(&other).await.unwrap());
    let mut text = String::from_utf8(text).unwrap();
    text = text.replace(other.as_str(), job.as_str());
    world.write(&done, Some(&text)).await;
    world.app.jobs.retry(&job, Actor::daemon()).await.unwrap();
    world.app.jobs.cancel(&job, Actor::daemon()).await.unwrap();

    let all = world.log(job.as_str(), None, 100).await;
    let (noted, life) = (format!("write {done}"), subjects(&all));
    assert_eq!(life.len(), 6, "{life:?}");
    assert_eq!(life[2], noted);
    assert_eq!(life[3], noted);
    assert!(life[5].starts_with("pending"), "{life:?}");
    for place in 0..6 {
        let page = world.log(job.as_str(), (place > 0).then(|| all[place - 1].commit), 2).await;
        assert_eq!(page, all[place..(place + 2).min(6)], "pages join at {place}");
    }
    let folder = world.log("jobs/open", None, 100).await;
    assert_eq!(folder.len(), 6, "every change but the notes: {:?}", subjects(&folder));
}

#[tokio::test]
async fn a_commit_shows_what_each_file_was_and_is_and_the_past_can_be_read() {
    let world = World::new().await;
    let first = world.write("notes/a.txt", Some("one\n")).await;
    let second = world.write("notes/a.txt", Some("two\n")).await;
    let third = world.write("notes/a.txt", None).await;
    let state = &world.app.state;
    let change = |old: Option<&str>, new: Option<&str>| {
        let content = |text: Option<&str>| text.map(|text| Content::Bytes(text.to_owned().into()));
        vec![FileChange { path: "notes/a.txt".to_owned(), old: content(old), new: content(new) }]
    };
    assert_eq!(state.show(&world.repo, first).await.unwrap().changes, change(None, Some("one\n")));
    assert_eq!(state.show(&world.repo, second).await.unwrap().changes, change(Some("one\n"), Some("two\n")));
    assert_eq!(state.show(&world.repo, third).await.unwrap().changes, change(Some("two\n"), None));
    let past = state.at(&world.repo, first).await.unwrap();
    assert_eq!(past.file("notes/a.txt").unwrap().unwrap(), "one\n");
    assert_eq!(past.file("notes").unwrap(), None);
    assert_eq!(
        past.list("notes").unwrap().iter().map(|entry| entry.name.as_str()).collect::<Vec<_>>(),
        ["a.txt"]
    );
    assert!(state.at(&world.repo, third).await.unwrap().list("notes").unwrap().is_empty());
    let unknown = Oid::of(crate::state::oid::Kind::Blob, b"nothing");
    assert!(matches!(state.show(&world.repo, unknown).await, Err(HistoryError::NoCommit { .. })));
    assert!(matches!(state.at(&world.repo, unknown).await, Err(HistoryError::NoCommit { .. })));
}

#[tokio::test]
async fn a_listener_that_was_away_long_is_told_every_event_and_one_of_elsewhere_nothing() {
    let world = World::new().await;
    let first = world.write("a", Some("0")).await;
    let count = EVENTS_NEAR + 200;
    for number in 1..=count {
        world.write("a", Some(&number.to_string())).await;
    }
    let state = &world.app.state;
    let events = state.events_after(&world.repo, STATE_REF, first).await.unwrap().unwrap();
    assert_eq!(events.len(), count);
    let near = state.events_after(&world.repo, STATE_REF, events[count - 6].commit).await.unwrap().unwrap();
    assert_eq!(near, events[count - 5..]);
    let elsewhere = state.log(&RepoName::Platform, Filter { limit: 1, ..Filter::default() }).await.unwrap();
    assert_eq!(state.events_after(&world.repo, STATE_REF, elsewhere[0].commit).await.unwrap(), None);
}

#[test]
fn a_path_that_git_could_take_for_something_else_is_refused() {
    for bad in [
        "",
        "/",
        "/etc",
        "-n",
        "--all",
        ":(glob)**",
        ":/",
        ":!x",
        "a/../b",
        "..",
        ".",
        "a//b",
        "./a",
        "a\nb",
        "a\0",
        "a\x1b[m",
        "a\\b",
        &"a".repeat(600),
    ] {
        assert!(bad.parse::<About>().is_err(), "{bad:?}");
    }
    assert_eq!("jobs/open/".parse(), Ok(About::Path("jobs/open".into())));
    assert_eq!("a b*".parse(), Ok(About::Path("a b*".into())), "taken literally");
    let job = "job-01jd000000000000000000007k";
    assert_eq!(job.parse(), Ok(About::Job(job.parse().unwrap())));
    let artifact = "art-01jd000000000000000000007k".parse::<About>().unwrap();
    assert_eq!(artifact, About::Path("artifacts/0/7/k/art-01jd000000000000000000007k.yaml".into()));
}
