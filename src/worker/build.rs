//! What a build job does: fetch the code, read its recipe, run the steps, find the artifacts. Reports nothing itself.

use std::io::{self, Read};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::Instant;

use super::artifact::{self, FindError};
use super::checkout::{self, CHECKOUT_MAX, CheckoutError, Source};
use super::daemon_client::Claim;
use super::deliver::Made;
use super::folder::{CODE_NAME, JobFolder};
use super::halt::{Alarm, Halt};
use super::job_client::{Failure, FailureCode};
use super::recipe::{self, Recipe, Step};
use super::record::Files;
use super::run::{Ended, Exit};
use super::sandbox::{Confined, Sandbox};
use super::secrets::JobSecrets;
use super::spool::{Spool, SpoolError};
use super::step::{self, StepResult};

/// Why a build has no result.
#[derive(Debug, PartialEq)]
pub enum BuildEnd {
    Failed(Failure),
    Halted(Halt),
}

impl From<io::Error> for BuildEnd {
    /// The agent's own disk or processes failed, unless it was the log that grew too large.
    fn from(error: io::Error) -> Self {
        match error.downcast::<SpoolError>() {
            Ok(error @ SpoolError::TooLarge) => failed(FailureCode::LogTooLarge, error.to_string()),
            Ok(SpoolError::Disk(error)) => {
                failed(FailureCode::AgentFault, format!("the log cannot be written: {error}"))
            }
            Err(error) => failed(FailureCode::AgentFault, format!("the agent's machine failed: {error}")),
        }
    }
}

impl From<SpoolError> for BuildEnd {
    fn from(error: SpoolError) -> Self {
        io::Error::other(error).into()
    }
}

/// What a build works with.
pub struct Build<'a> {
    pub claim: &'a Claim,
    pub sandbox: &'a Sandbox,
    pub folder: &'a JobFolder,
    pub spool: &'a Spool,
    /// What steps may name.
    pub secrets: &'a JobSecrets,
    /// What a person sees of how far it is.
    pub progress: &'a watch::Sender<String>,
    /// Rings at the latest when the job's own time is over.
    pub alarm: Alarm,
}

impl Build<'_> {
    /// Builds; tells the job's result and the files that belong to it.
    pub async fn run(mut self) -> Result<Made, BuildEnd> {
        let start = Instant::now();
        let commit = self.fetch_code(start).await?;
        self.spool.line(&format!("== code: {commit}"))?;
        let recipe = self.read_recipe()?;
        self.alarm = self.alarm.within(start, recipe.timeout);
        let mut results = Vec::new();
        for (n, step) in recipe.steps.iter().enumerate() {
            self.say(format!("step {}/{}: {}", n + 1, recipe.steps.len(), step.name));
            results.push(self.run_step(&recipe, step).await?);
        }
        let paths = self.find_artifacts(recipe).await?;
        let result = json!({"commit": commit, "steps": results, "artifacts": []});
        Ok(Made { result, files: Files { root: CODE_NAME.into(), paths }, alarm: self.alarm })
    }

    fn say(&self, progress: String) {
        self.progress.send_replace(progress);
    }

    async fn fetch_code(&self, start: Instant) -> Result<String, BuildEnd> {
        let unavailable = |text: String| failed(FailureCode::CodeUnavailable, text);
        let code =
            self.claim.code.as_ref().ok_or_else(|| unavailable("the project has no code".to_owned()))?;
        let source = Source::try_from(code).map_err(|error| unavailable(error.to_string()))?;
        let source = source.with_secrets(self.secrets);
        let job_time = Duration::from_secs(self.claim.job.timeout_seconds);
        let alarm = self.alarm.within(start, CHECKOUT_MAX);
        let mut output = |bytes: &[u8]| self.spool.write(bytes).map_err(io::Error::other);
        let halt = std::pin::pin!(alarm.rung());
        match checkout::checkout(&source, &self.folder.code(), &mut output, halt).await {
            Ok(commit) => Ok(commit),
            Err(CheckoutError::Halted(Halt::BuildTimedOut)) if job_time > CHECKOUT_MAX => {
                Err(unavailable(format!("the code was not fetched within {} s", CHECKOUT_MAX.as_secs())))
            }
            Err(CheckoutError::Halted(halt)) => Err(BuildEnd::of(halt, None)),
            Err(CheckoutError::Io(error)) => Err(error.into()),
            Err(error @ CheckoutError::Git { .. }) => Err(unavailable(error.to_string())),
        }
    }

    fn read_recipe(&self) -> Result<Recipe, BuildEnd> {
        let file =
            artifact::open_below(&self.folder.code(), recipe::FILE_NAME).map_err(|error| {
                match error.kind() {
                    io::ErrorKind::NotFound => failed(
                        FailureCode::RecipeMissing,
                        format!("the code has no {} in its root", recipe::FILE_NAME),
                    ),
                    _ => failed(
                        FailureCode::RecipeInvalid,
                        format!("{} cannot be read: {error}", recipe::FILE_NAME),
                    ),
                }
            })?;
        let mut bytes = Vec::new();
        file.take(recipe::FILE_BYTES_MAX as u64 + 1).read_to_end(&mut bytes)?;
        Recipe::parse(&bytes).map_err(|error| failed(FailureCode::RecipeInvalid, error.to_string()))
    }

    async fn run_step(&self, recipe: &Recipe, step: &Step) -> Result<StepResult, BuildEnd> {
        let (code, etc) = (self.folder.code(), self.folder.etc());
        let secrets = self.secrets.variables(&step.secrets).map_err(|name| {
            let text =
                format!("step {} names the secret {name}, and the project has none of that name", step.name);
            failed(FailureCode::SecretsUnavailable, text)
        })?;
        let (environment, secrets) = (&recipe.environment, &secrets);
        let confined =
            Confined { code: &code, etc: &etc, environment, step, secrets, readable: &[], input: None };
        match step::run(self.sandbox, confined, self.spool, self.alarm.clone()).await? {
            (Ended::Exited(Exit::Code(0)), seconds) => {
                Ok(StepResult { name: step.name.clone(), exit_code: 0, seconds })
            }
            (Ended::Exited(exit), _) => Err(BuildEnd::Failed(step::failure(step, exit))),
            (Ended::Halted(halt), _) => Err(BuildEnd::of(halt, Some(step))),
        }
    }

    /// Which files the recipe calls artifacts.
    async fn find_artifacts(&self, recipe: Recipe) -> Result<Vec<String>, BuildEnd> {
        let root = self.folder.code();
        let found = tokio::task::spawn_blocking(move || artifact::find(&root, &recipe.artifacts)).await;
        let paths = found.map_err(io::Error::other)?.map_err(not_found)?;
        artifact::check_names_differ(&paths).map_err(not_found)?;
        Ok(paths)
    }
}

impl BuildEnd {
    /// An interruption, which is a failure where a time limit was the reason.
    pub fn of(halt: Halt, step: Option<&Step>) -> Self {
        let details = step.map_or(Value::Null, |step| json!({"step": step.name}));
        let code = match halt {
            Halt::StepTimedOut => FailureCode::StepTimedOut,
            Halt::BuildTimedOut => FailureCode::BuildTimedOut,
            Halt::AgentStopped => FailureCode::AgentStopped,
            Halt::Cancelled | Halt::Lost | Halt::Barred => return Self::Halted(halt),
        };
        let during = step.map_or(String::new(), |step| format!(" during step {}", step.name));
        Self::Failed(Failure { code, message: format!("{halt}{during}"), details })
    }
}

fn failed(code: FailureCode, message: impl Into<String>) -> BuildEnd {
    BuildEnd::Failed(Failure::new(code, message))
}

/// The failure of a job whose files cannot be found.
pub fn not_found(error: FindError) -> BuildEnd {
    match error {
        FindError::Missing(_) => failed(FailureCode::ArtifactMissing, error.to_string()),
        FindError::Unusable(_) => failed(FailureCode::ArtifactRefused, error.to_string()),
        FindError::Io(error) => {
            failed(FailureCode::ArtifactRefused, format!("the build's folders cannot be read: {error}"))
        }
    }
}
