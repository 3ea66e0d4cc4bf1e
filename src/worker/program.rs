//! What a job does if the operator named a command: run it in a fresh folder, and read what it leaves. `docs/programs.md` is
//! the contract. Reports nothing itself.
//!
//! What a program says is its log and never a command to the agent; what it wants to tell is in files, each of which is read
//! with a bound and through no link, from the working folder on: the program may put links in place of all that is below.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fs::{self, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};
use tokio::sync::watch;

use super::artifact::{self, open_below};
use super::backoff::Pace;
use super::build::{BuildEnd, not_found};
use super::daemon_client::Claim;
use super::deliver::Made;
use super::folder::{CODE_NAME, JobFolder};
use super::halt::{Alarm, Halt};
use super::job_client::{ChatAnswer, Failure, FailureCode};
use super::options::ProgramOptions;
use super::recipe::{Network, Step};
use super::record::Files;
use super::run::{Ended, Exit};
use super::sandbox::{BUILD_FOLDER, Confined, Sandbox};
use super::secrets::JobSecrets;
use super::spool::Spool;
use super::step;

/// The variable that names the folder below.
const OUT_VARIABLE: &str = "MRX_OUT";
/// What a program tells by is in here, in its folder.
const OUT_NAME: &str = "out";
const PROGRESS_NAME: &str = "progress";
const RESULT_NAME: &str = "result.json";
const FAILURE_NAME: &str = "failure.json";
const ANSWER_NAME: &str = "answer.md";
const ARTIFACTS_NAME: &str = "artifacts";
/// A job's file takes 1 MiB; half of it is left for the payload and what came before.
const RESULT_BYTES_MAX: u64 = 512 << 10;
/// More than the protocol's 200 characters of progress, whatever they are.
const PROGRESS_BYTES_MAX: u64 = 4 << 10;
/// A message for a person; the whole story is in the log.
const MESSAGE_CHARS_MAX: usize = 2000;

/// What a program is run with.
pub struct ProgramJob<'a> {
    pub program: &'a ProgramOptions,
    pub claim: &'a Claim,
    pub sandbox: &'a Sandbox,
    pub folder: &'a JobFolder,
    pub spool: &'a Spool,
    pub secrets: &'a JobSecrets,
    /// What a person sees of how far it is.
    pub progress: &'a watch::Sender<String>,
    /// Rings at the latest when the job's time is over.
    pub alarm: Alarm,
    pub pace: Pace,
}

impl ProgramJob<'_> {
    /// Runs the program; tells the job's result, the files that belong to it, and the answer to a chat.
    pub async fn run(self) -> (Result<Made, BuildEnd>, Option<ChatAnswer>) {
        let home = self.folder.code();
        match self.run_program(&home).await {
            Ok(made) => match self.answer(&home) {
                Ok(answer) => (Ok(made), answer),
                Err(end) => (Err(end), None),
            },
            Err(end) => (Err(end), None),
        }
    }

    /// What a chat is answered with, if the job is about one.
    fn answer(&self, home: &Path) -> Result<Option<ChatAnswer>, BuildEnd> {
        if self.claim.job.kind != "chat" {
            return Ok(None);
        }
        let unusable =
            |error| failed(FailureCode::ResultInvalid, format!("{ANSWER_NAME} cannot be read: {error}"));
        let bytes = read(home, ANSWER_NAME).map_err(unusable)?;
        let text = String::from_utf8(bytes).map_err(|error| unusable(io::Error::other(error)))?;
        let text = self.secrets.matcher().text(&text).unwrap_or(text);
        Ok(Some(ChatAnswer { text, model: None }))
    }

    async fn run_program(&self, home: &Path) -> Result<Made, BuildEnd> {
        fs::create_dir_all(home.join(OUT_NAME).join(ARTIFACTS_NAME))?;
        // The folder where the program finds itself: in the sandbox, another name of the same.
        let seen = if *self.sandbox == Sandbox::Off { home.to_owned() } else { PathBuf::from(BUILD_FOLDER) };
        self.write_input(&seen)?;
        let secrets = self.secrets.variables(&self.program.secrets).map_err(|name| {
            let text =
                format!("the program asks for the secret {name}, and the project has none of that name");
            failed(FailureCode::SecretsUnavailable, text)
        })?;
        let step = self.step();
        let environment =
            BTreeMap::from([(OUT_VARIABLE.to_owned(), seen.join(OUT_NAME).display().to_string())]);
        let confined = Confined {
            code: home,
            etc: &self.folder.etc(),
            environment: &environment,
            step: &step,
            secrets: &secrets,
            readable: &self.program.readable,
            input: Some(&self.folder.input()),
        };
        let ended = tokio::select! {
            ended = step::run(self.sandbox, confined, self.spool, self.alarm.clone()) => ended?.0,
            never = self.watch_progress(home) => match never {},
        };
        self.take_progress(home);
        match ended {
            Ended::Exited(Exit::Code(0)) => self.made(home),
            Ended::Exited(exit) => Err(BuildEnd::Failed(failure(home, exit))),
            Ended::Halted(Halt::BuildTimedOut | Halt::StepTimedOut) => {
                Err(failed(FailureCode::JobTimedOut, "the program took longer than the job may"))
            }
            Ended::Halted(halt) => Err(BuildEnd::of(halt, None)),
        }
    }

    fn step(&self) -> Step {
        Step {
            name: "program".to_owned(),
            run: self.program.command.clone(),
            network: if self.program.has_network { Network::Host } else { Network::None },
            timeout: None,
            secrets: self.program.secrets.clone(),
        }
    }

    fn write_input(&self, seen: &Path) -> io::Result<()> {
        let input = json!({"job": self.claim.job, "code": self.claim.code, "folder": seen});
        let mut options = OpenOptions::new();
        let mut file = options.write(true).create_new(true).mode(0o600).open(self.folder.input())?;
        file.write_all(&serde_json::to_vec(&input)?)
    }

    async fn watch_progress(&self, home: &Path) -> Infallible {
        loop {
            tokio::time::sleep(self.pace.poll).await;
            self.take_progress(home);
        }
    }

    fn take_progress(&self, home: &Path) {
        if let Ok(Some(line)) = last_line(home) {
            self.progress.send_if_modified(|said| {
                let is_new = *said != line;
                *said = line;
                is_new
            });
        }
    }

    fn made(&self, home: &Path) -> Result<Made, BuildEnd> {
        let result = match read(home, RESULT_NAME) {
            Ok(bytes) => serde_json::from_slice::<Map<String, Value>>(&bytes).map_err(|error| {
                failed(FailureCode::ResultInvalid, format!("{RESULT_NAME} is no JSON object: {error}"))
            })?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Map::new(),
            Err(error) => {
                return Err(failed(
                    FailureCode::ResultInvalid,
                    format!("{RESULT_NAME} cannot be read: {error}"),
                ));
            }
        };
        let paths = artifacts(home)?;
        artifact::check_names_differ(&paths).map_err(not_found)?;
        Ok(Made {
            result: Value::Object(result),
            files: Files { root: CODE_NAME.into(), paths },
            alarm: self.alarm.clone(),
        })
    }
}

/// The files to upload, as paths from the working folder. A link in place of a folder holds none.
fn artifacts(home: &Path) -> Result<Vec<String>, BuildEnd> {
    let (out, root) = (home.join(OUT_NAME), home.join(OUT_NAME).join(ARTIFACTS_NAME));
    let is_folder = |path: &Path| fs::symlink_metadata(path).is_ok_and(|meta| meta.is_dir());
    if !is_folder(&out) || !is_folder(&root) {
        return Ok(Vec::new());
    }
    let found = artifact::find_all(&root).map_err(not_found)?;
    Ok(found.into_iter().map(|path| format!("{OUT_NAME}/{ARTIFACTS_NAME}/{path}")).collect())
}

/// The failure of a program that did not exit with 0, in its own words if it left any.
fn failure(home: &Path, exit: Exit) -> Failure {
    let own = read(home, FAILURE_NAME).ok().and_then(|bytes| serde_json::from_slice::<Value>(&bytes).ok());
    let mut details = match own.as_ref().map(|own| &own["details"]) {
        Some(Value::Object(details)) => details.clone(),
        _ => Map::new(),
    };
    let (said, name, number) = match exit {
        Exit::Code(code) => (format!("the program exited with {code}"), "exitCode", code),
        Exit::Signal(signal) => (format!("the program was ended by signal {signal}"), "signal", signal),
    };
    details.insert(name.to_owned(), number.into());
    let own_words = own.as_ref().and_then(|own| own["message"].as_str()).filter(|text| !text.is_empty());
    let message = own_words.map_or(said, |text| text.chars().take(MESSAGE_CHARS_MAX).collect());
    Failure { code: FailureCode::ProgramFailed, message, details: Value::Object(details) }
}

/// The whole of a small file of the program.
fn read(home: &Path, name: &str) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    open_below(home, &format!("{OUT_NAME}/{name}"))?.take(RESULT_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > RESULT_BYTES_MAX {
        return Err(io::Error::other(format!("it is larger than {RESULT_BYTES_MAX} bytes")));
    }
    Ok(bytes)
}

/// The last whole line of what a program says of how far it is.
fn last_line(home: &Path) -> io::Result<Option<String>> {
    let mut file = open_below(home, &format!("{OUT_NAME}/{PROGRESS_NAME}"))?;
    let size = file.metadata()?.len();
    file.seek(SeekFrom::Start(size.saturating_sub(PROGRESS_BYTES_MAX)))?;
    let mut bytes = Vec::new();
    file.take(PROGRESS_BYTES_MAX).read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    let Some((whole, _)) = text.rsplit_once('\n') else { return Ok(None) };
    let line: String =
        whole.rsplit('\n').next().unwrap_or_default().chars().filter(|c| !c.is_control()).collect();
    Ok(Some(line.trim().to_owned()).filter(|line| !line.is_empty()))
}

fn failed(code: FailureCode, message: impl Into<String>) -> BuildEnd {
    BuildEnd::Failed(Failure::new(code, message))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_is_the_last_whole_line_and_no_link_is_followed() {
        let home = tempfile::tempdir().unwrap();
        let out = home.path().join(OUT_NAME);
        fs::create_dir(&out).unwrap();
        let path = out.join(PROGRESS_NAME);
        for (text, line) in [
            ("", None),
            ("half", None),
            ("one\ntwo\nhal", Some("two")),
            ("one\n\x1b[1mtwo\r\n", Some("[1mtwo")),
            ("\n", None),
        ] {
            fs::write(&path, text).unwrap();
            assert_eq!(last_line(home.path()).unwrap().as_deref(), line, "{text:?}");
        }
        fs::write(&path, format!("{}\nlast\n", "x".repeat(100_000))).unwrap();
        assert_eq!(last_line(home.path()).unwrap().as_deref(), Some("last"));
        fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", &path).unwrap();
        assert!(last_line(home.path()).is_err());
    }

    #[test]
    fn a_failure_is_told_in_the_programs_own_words_with_its_exit_code() {
        let home = tempfile::tempdir().unwrap();
        let out = home.path().join(OUT_NAME);
        fs::create_dir(&out).unwrap();
        let told = |exit| serde_json::to_value(failure(home.path(), exit)).unwrap();
        assert_eq!(
            told(Exit::Code(3)),
            json!({"code": "programFailed", "message": "the program exited with 3", "details": {"exitCode": 3}})
        );
        fs::write(out.join(FAILURE_NAME), r#"{"message": "no disk", "details": {"free": 0, "exitCode": 9}}"#)
            .unwrap();
        assert_eq!(
            told(Exit::Signal(9)),
            json!({"code": "programFailed", "message": "no disk", "details": {"free": 0, "exitCode": 9, "signal": 9}})
        );
        fs::write(out.join(FAILURE_NAME), "[").unwrap();
        assert_eq!(told(Exit::Code(1))["message"], "the program exited with 1");
    }

    #[test]
    fn a_link_in_place_of_a_folder_leads_nowhere() {
        let outside = tempfile::tempdir().unwrap();
        fs::create_dir(outside.path().join(ARTIFACTS_NAME)).unwrap();
        for name in [RESULT_NAME, PROGRESS_NAME, "artifacts/key"] {
            fs::write(outside.path().join(name), "{}\n").unwrap();
        }
        let home = tempfile::tempdir().unwrap();
        let out = home.path().join(OUT_NAME);
        std::os::unix::fs::symlink(outside.path(), &out).unwrap();
        assert!(read(home.path(), RESULT_NAME).is_err() && last_line(home.path()).is_err());
        assert_eq!(artifacts(home.path()).unwrap(), [""; 0]);
        fs::remove_file(&out).unwrap();
        fs::create_dir(&out).unwrap();
        std::os::unix::fs::symlink(outside.path().join(ARTIFACTS_NAME), out.join(ARTIFACTS_NAME)).unwrap();
        assert_eq!(artifacts(home.path()).unwrap(), [""; 0]);
        fs::remove_file(out.join(ARTIFACTS_NAME)).unwrap();
        fs::create_dir_all(out.join("artifacts/deep")).unwrap();
        fs::write(out.join("artifacts/deep/a"), "a").unwrap();
        assert_eq!(artifacts(home.path()).unwrap(), ["out/artifacts/deep/a"]);
    }
}
