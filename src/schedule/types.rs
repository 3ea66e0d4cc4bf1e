//! What a schedule is: the type, which is also its file `schedules/<name>.yaml` and its JSON.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::cron::Cron;
use super::zone::TimeZone;
use crate::clock::Time;
use crate::id::{GroupName, JobId, Label, ProjectId, ScheduleName};
use crate::job::new::TIMEOUT_SECONDS_DEFAULT;
use crate::job::{JobType, NewJob};
use crate::state::edit::Entity;
use crate::state::object::Object;

/// A schedule: what job to make, and when.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Schedule {
    /// Its name, which its file is named by.
    pub name: ScheduleName,
    /// When: minute, hour, day of the month, month, day of the week, on the clock of its zone.
    pub cron: Cron,
    /// The zone of that clock: `Europe/Berlin`; `UTC` if absent.
    #[serde(default)]
    pub time_zone: TimeZone,
    /// What kind of job.
    pub job_type: JobType,
    /// What to do, as its type needs it.
    #[serde(default, skip_serializing_if = "Object::is_empty")]
    pub payload: Object,
    /// Jobs of higher priority are claimed first; 0 is ordinary.
    #[serde(default)]
    pub priority: i8,
    /// What an agent must offer to get the job.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub labels: Vec<Label>,
    /// How long the job may run, in seconds.
    #[serde(default = "timeout_seconds_default")]
    pub timeout_seconds: u32,
    /// Of the project's jobs with the same group one is held at a time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub concurrency_group: Option<GroupName>,
    /// Whether it makes jobs.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// Who made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_by: Option<String>,
    /// When it was made; no time before this is due.
    pub created_at: Time,
    /// When somebody last changed it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub updated_at: Option<Time>,
    /// When it last made a job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_run_at: Option<Time>,
    /// That job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_job: Option<JobId>,
    /// When it makes the next one. What the expression does not mean is not believed, and counted anew.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_run_at: Option<Time>,
}

impl Entity for Schedule {
    const KIND: &'static str = "schedule";
}

impl Schedule {
    /// The job it makes.
    pub fn job_of(&self, project: &ProjectId) -> NewJob {
        NewJob {
            project: project.clone(),
            kind: self.job_type,
            payload: self.payload.clone(),
            priority: self.priority,
            labels: self.labels.clone(),
            timeout_seconds: self.timeout_seconds,
            needs: Vec::new(),
            concurrency_group: self.concurrency_group.clone(),
        }
    }
}

fn timeout_seconds_default() -> u32 {
    TIMEOUT_SECONDS_DEFAULT
}

fn yes() -> bool {
    true
}
