//! The table of kinds: how a file of each is checked, put back and removed. The rules themselves are the subjects'.

use std::sync::Arc;

use super::repair::{Facts, Refusal};
use crate::artifact::artifacts::check_entry;
use crate::artifact::types::Artifact;
use crate::chat::rules::{check_chat, check_prompt, check_segment};
use crate::chat::types::{Chat, Prompt, Segment};
use crate::job::{Job, JobState, restore};
use crate::project::types::{CodeFile, ProjectFile};
use crate::schedule::Schedule;
use crate::schedule::due;
use crate::schedule::known::check_schedule;
use crate::secret::Secret;
use crate::state::edit::{Edit, Entity};
use crate::state::layout::place::Place;
use crate::state::yaml::{self, BadFile};
use crate::webhook::types::Webhook;
use crate::webhook::webhooks::{check_webhook, put_back as put_back_webhook};

type Check = fn(&Facts<'_>, &Place, &[u8]) -> Result<(), Refusal>;
type PutBack = fn(&Facts<'_>, &Place, Option<&[u8]>, &[u8]) -> Result<Vec<Edit>, Refusal>;
type Remove = fn(&Facts<'_>, &Place, &[u8]) -> Result<Vec<Edit>, Refusal>;

/// How files of a kind are treated.
pub struct Kind {
    /// Refuses a file that is not as it must be.
    pub check: Check,
    /// The edits that put a file back.
    pub put_back: PutBack,
    /// The edits that remove it.
    pub remove: Remove,
}

/// The line of the table for a place.
#[rustfmt::skip]
pub fn kind_of(place: &Place) -> &'static Kind {
    match place {
        Place::OpenJob(_) | Place::DoneJob(..) => &Kind { check: check::<Job>,          put_back: put_back_job,                  remove: remove_job },
        Place::Chat(_)                         => &Kind { check: check::<Chat>,         put_back: put_back::<Chat>,              remove },
        Place::ChatSegment(..)                 => &Kind { check: check::<Segment>,      put_back: put_back::<Segment>,           remove },
        Place::Prompt                          => &Kind { check: check::<Prompt>,       put_back: put_back::<Prompt>,            remove },
        Place::Schedule(_)                     => &Kind { check: check::<Schedule>,     put_back: put_back::<Schedule>,          remove },
        Place::Artifact(_)                     => &Kind { check: check::<Artifact>,     put_back: put_back::<Artifact>,          remove },
        Place::Webhook(_)                      => &Kind { check: check::<Webhook>,      put_back: put_back::<Webhook>,           remove },
        Place::Secret(_)                       => &Kind { check: check::<Secret>,       put_back: |_, place, _, _| kept(place, SECRET), remove: |_, place, _| kept(place, SECRET) },
        Place::Ciphertext(_)                   => &Kind { check: check_ciphertext,      put_back: |_, place, _, _| kept(place, SECRET), remove: |_, place, _| kept(place, SECRET) },
        Place::ProjectFile                     => &Kind { check: check::<ProjectFile>,  put_back: |_, place, _, _| kept(place, OURS),   remove: |_, place, _| kept(place, OURS) },
        Place::CodeFile                        => &Kind { check: check::<CodeFile>,     put_back: |_, place, _, _| kept(place, FORGE),  remove: |_, place, _| kept(place, FORGE) },
    }
}

const SECRET: &str = "a secret is never brought back; store its value again with POST /admin/secrets";
const OURS: &str =
    "the daemon alone writes this file; PATCH /projects/{id} changes what people say of a project";
const FORGE: &str = "the file says what the forge told last, and POST /projects/{id}/sync asks the forge";

/// What a kind of file asks for besides its type.
trait Rules: Entity + Sized {
    /// What is wrong with it at this place, if something is.
    fn wrong(&self, facts: &Facts<'_>, place: &Place) -> Option<String>;

    /// What it becomes when it is put back, where it is `known` now.
    fn put_back(self, _facts: &Facts<'_>, _known: Option<Self>) -> Result<Self, String> {
        Ok(self)
    }
}

impl Rules for Job {
    fn wrong(&self, facts: &Facts<'_>, place: &Place) -> Option<String> {
        restore::misplaced(facts.project, place, self).or_else(|| restore::beyond_limits(self))
    }
}

impl Rules for Chat {
    fn wrong(&self, _: &Facts<'_>, place: &Place) -> Option<String> {
        check_chat(self, place)
    }
}

impl Rules for Segment {
    fn wrong(&self, _: &Facts<'_>, place: &Place) -> Option<String> {
        check_segment(self, place)
    }
}

impl Rules for Prompt {
    fn wrong(&self, _: &Facts<'_>, _: &Place) -> Option<String> {
        check_prompt(self)
    }
}

impl Rules for Schedule {
    fn wrong(&self, facts: &Facts<'_>, place: &Place) -> Option<String> {
        check_schedule(facts.project, self, &place.path())
    }

    /// What was missed since is not made up for: the next time is counted from now.
    fn put_back(self, facts: &Facts<'_>, known: Option<Self>) -> Result<Self, String> {
        if self.cron.after(facts.now, self.time_zone).is_none() {
            return Err(format!("its time {} never comes again", self.cron));
        }
        let (last_run_at, last_job) = known
            .map_or((self.last_run_at, self.last_job.clone()), |known| (known.last_run_at, known.last_job));
        let then = Self { last_run_at, last_job, updated_at: Some(facts.now), ..self };
        Ok(due::counted_from(then, facts.now))
    }
}

impl Rules for Artifact {
    fn wrong(&self, _: &Facts<'_>, place: &Place) -> Option<String> {
        check_entry(self, place)
    }
}

impl Rules for Webhook {
    fn wrong(&self, facts: &Facts<'_>, place: &Place) -> Option<String> {
        check_webhook(self, place, facts.allow_private_webhooks)
    }

    fn put_back(self, facts: &Facts<'_>, known: Option<Self>) -> Result<Self, String> {
        put_back_webhook(self, known, facts.tip, facts.now)
    }
}

impl Rules for Secret {
    fn wrong(&self, _: &Facts<'_>, place: &Place) -> Option<String> {
        (*place != Place::Secret(self.name.clone())).then(|| format!("it says name: {}", self.name))
    }
}

impl Rules for ProjectFile {
    fn wrong(&self, facts: &Facts<'_>, _: &Place) -> Option<String> {
        (self.project_id != *facts.project).then(|| format!("it says projectId: {}", self.project_id))
    }
}

impl Rules for CodeFile {
    fn wrong(&self, _: &Facts<'_>, _: &Place) -> Option<String> {
        None
    }
}

fn read<T: Rules>(facts: &Facts<'_>, place: &Place, bytes: &[u8]) -> Result<T, Refusal> {
    let path = place.path();
    let value: T = yaml::read(&path, T::KIND, bytes)?;
    match value.wrong(facts, place) {
        Some(cause) => Err(BadFile { path, kind: T::KIND, cause }.into()),
        None => Ok(value),
    }
}

fn check<T: Rules>(facts: &Facts<'_>, place: &Place, bytes: &[u8]) -> Result<(), Refusal> {
    read::<T>(facts, place, bytes).map(|_| ())
}

/// A present file that is broken is as good as none: putting back is how it is mended.
fn put_back<T: Rules>(
    facts: &Facts<'_>,
    place: &Place,
    old: Option<&[u8]>,
    new: &[u8],
) -> Result<Vec<Edit>, Refusal> {
    let then: T = read(facts, place, new)?;
    let known = old.and_then(|old| read(facts, place, old).ok());
    let path = place.path();
    let next = then.put_back(facts, known).map_err(|why| Refusal::Kept { path: path.clone(), why })?;
    Ok(vec![Edit::put(path, Arc::new(next))])
}

fn remove(_: &Facts<'_>, place: &Place, _: &[u8]) -> Result<Vec<Edit>, Refusal> {
    Ok(vec![Edit::remove(place.path())])
}

/// A job's file stands where its state says, then and now.
fn put_back_job(
    facts: &Facts<'_>,
    place: &Place,
    old: Option<&[u8]>,
    new: &[u8],
) -> Result<Vec<Edit>, Refusal> {
    let then: Job = read(facts, place, new)?;
    let known: Option<Job> = old.and_then(|old| yaml::read(&place.path(), Job::KIND, old).ok());
    let next = restore::put_back(&then, known.as_ref(), facts.now)
        .map_err(|why| Refusal::Kept { path: place.path(), why })?;
    let (from, to) = (known.as_ref().map(place_of_job), place_of_job(&next));
    let mut edits: Vec<Edit> =
        from.filter(|from| *from != to).map(|from| Edit::remove(from.path())).into_iter().collect();
    edits.push(Edit::put(to.path(), Arc::new(next)));
    Ok(edits)
}

fn place_of_job(job: &Job) -> Place {
    match job.ended_at.filter(|_| job.state.has_ended()) {
        Some(ended) => Place::DoneJob(job.job_id.clone(), ended.day()),
        None => Place::OpenJob(job.job_id.clone()),
    }
}

fn remove_job(facts: &Facts<'_>, place: &Place, old: &[u8]) -> Result<Vec<Edit>, Refusal> {
    match read::<Job>(facts, place, old) {
        Ok(job) if matches!(job.state, JobState::Claimed | JobState::Running) => {
            let why = format!("it is {}; cancel it first, and remove its file when it has ended", job.state);
            Err(Refusal::Kept { path: place.path(), why })
        }
        _ => remove(facts, place, old),
    }
}

/// A ciphertext is a text of age, armored or not; what is in it only its recipients know.
fn check_ciphertext(_: &Facts<'_>, place: &Place, bytes: &[u8]) -> Result<(), Refusal> {
    let is_age = bytes.starts_with(b"age-encryption.org/v1")
        || bytes.starts_with(b"-----BEGIN AGE ENCRYPTED FILE-----");
    let cause = "it is no file of age".to_owned();
    if is_age { Ok(()) } else { Err(BadFile { path: place.path(), kind: "ciphertext", cause }.into()) }
}

fn kept(place: &Place, why: &str) -> Result<Vec<Edit>, Refusal> {
    Err(Refusal::Kept { path: place.path(), why: why.to_owned() })
}
