//! Runs a program to its end with a fixed environment, a time limit and bounded output. It blocks, so it is called
//! where blocking is allowed.
//!
//! Input and output are unnamed files, not pipes: nothing has to be drained, so one thread is enough, and how much a
//! program has said is the length of a file. It leads a process group of its own, so all that it started ends with it.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::fs::{Access, access};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, setpriority_process, waitid};

/// How long a program may run if nothing else is said: a reader waits no longer.
const TIME_LIMIT: Duration = Duration::from_secs(30);
/// How much it may say if nothing else is said.
const OUTPUT_BYTES_MAX: u64 = 16 << 20;
/// How much of its complaints an error quotes: the end, where git says why.
const COMPLAINT_BYTES_MAX: u64 = 2000;
/// Between two looks whether it has ended: at first short, for programs of milliseconds.
const PAUSE_FIRST: Duration = Duration::from_micros(300);
const PAUSE_LAST: Duration = Duration::from_millis(20);
/// The largest file that a git with limits may write, in blocks of 512 bytes (1024 in some shells): 512 MiB.
const FILE_BLOCKS_MAX: u32 = 1 << 20;
/// The priority of work that nobody waits for: the lowest, so that it takes what calls leave.
const BACKGROUND_NICE: i32 = 19;

/// Settings that every git gets, whatever the repository's own say.
pub(super) const GIT_SETTINGS: [&str; 3] =
    ["core.hooksPath=/dev/null", "safe.directory=*", "protocol.file.allow=never"];
/// The environment that every git gets, besides `PATH`. Paths are literal, and `refs/replace` cannot rewrite history.
pub(super) const GIT_ENVIRONMENT: [(&str, &str); 6] = [
    ("GIT_CONFIG_NOSYSTEM", "1"),
    ("GIT_CONFIG_GLOBAL", "/dev/null"),
    ("GIT_TERMINAL_PROMPT", "0"),
    ("GIT_LITERAL_PATHSPECS", "1"),
    ("GIT_NO_REPLACE_OBJECTS", "1"),
    ("LC_ALL", "C"),
];

/// Set when programs under way are to end, because the daemon does.
pub type Halt = Arc<AtomicBool>;

/// A program to run.
pub struct Program {
    name: &'static str,
    folder: PathBuf,
    arguments: Vec<OsString>,
    environment: &'static [(&'static str, &'static str)],
    input: Vec<u8>,
    input_file: Option<File>,
    output_file: Option<File>,
    time_limit: Duration,
    output_bytes_max: u64,
    is_background: bool,
    halt: Halt,
}

/// Why a program did not do what it was started for.
#[derive(Debug, thiserror::Error)]
#[error("{command} in {}: {cause}", folder.display())]
pub struct ProgramError {
    /// The program and its arguments.
    pub command: String,
    /// Where it ran: the repository.
    pub folder: PathBuf,
    /// What happened.
    pub cause: Cause,
}

/// How a program failed.
#[derive(Debug, thiserror::Error)]
pub enum Cause {
    /// It was not started, or its files could not be read.
    #[error("it does not run: {0}")]
    Start(#[from] io::Error),
    /// It ended, and says that it failed.
    #[error("{exit}: {complaint}")]
    Failed {
        /// `exit 128`, or the signal that ended it.
        exit: String,
        /// The end of what it wrote to stderr.
        complaint: String,
    },
    /// It was ended because it ran too long.
    #[error("it was ended after {} s: {complaint}", limit.as_secs())]
    TooLong {
        /// How long it might have run.
        limit: Duration,
        /// The end of what it wrote to stderr.
        complaint: String,
    },
    /// It was ended because it said too much.
    #[error("it was ended because it wrote more than {0} bytes")]
    TooMuch(u64),
    /// It was ended because the daemon ends.
    #[error("it was ended because MrX stops")]
    Halted,
}

/// The file of a program that is looked for in the absolute folders of `path`. Its name if it is not found, for the error that then
/// follows, or if the name is a path itself.
///
/// A program with an environment of its own is to be started by its file: by its name the standard library would fork, which
/// copies the tables of all the daemon's memory, and has each page that the daemon writes to afterwards copied too. By its file it
/// uses `posix_spawn`, which copies nothing.
pub fn file_of(name: &OsStr, path: Option<&OsStr>) -> OsString {
    let is_program = |file: &PathBuf| file.is_file() && access(file, Access::EXEC_OK).is_ok();
    let path = path.filter(|_| !name.as_bytes().contains(&b'/'));
    let folders = path.into_iter().flat_map(std::env::split_paths).filter(|folder| folder.is_absolute());
    let found = folders.map(|folder| folder.join(name)).find(is_program);
    found.map_or_else(|| name.to_owned(), PathBuf::into_os_string)
}

impl Program {
    /// Git in a bare repository.
    pub fn git(repo: &Path) -> Self {
        let settings = GIT_SETTINGS.iter().flat_map(|setting| ["-c", setting]);
        Self { environment: &GIT_ENVIRONMENT, ..Self::other("git", repo) }.args(settings)
    }

    /// The same, where it and each of its children may have this much memory of their own, and map so much in all.
    pub fn git_within(repo: &Path, own_kib: u32, mapped_kib: u32) -> Self {
        let limits = [own_kib.to_string(), mapped_kib.to_string()];
        let script = "ulimit -d \"$0\" && ulimit -v \"$1\" && shift && exec git \"$@\"";
        let shell = ["-c".to_owned(), format!("ulimit -f {FILE_BLOCKS_MAX} && {script}")];
        let settings = GIT_SETTINGS.iter().flat_map(|setting| ["-c", setting]);
        let limited = Self::other("sh", repo).args(shell).args(limits).args(settings);
        Self { environment: &GIT_ENVIRONMENT, ..limited }
    }

    /// Another program, in this folder. It gets no environment but `PATH`.
    pub fn other(name: &'static str, folder: &Path) -> Self {
        Self {
            name,
            folder: folder.to_owned(),
            arguments: Vec::new(),
            environment: &[],
            input: Vec::new(),
            input_file: None,
            output_file: None,
            time_limit: TIME_LIMIT,
            output_bytes_max: OUTPUT_BYTES_MAX,
            is_background: false,
            halt: Halt::default(),
        }
    }

    /// Adds arguments.
    pub fn args<S: AsRef<OsStr>>(mut self, arguments: impl IntoIterator<Item = S>) -> Self {
        self.arguments.extend(arguments.into_iter().map(|argument| argument.as_ref().to_owned()));
        self
    }

    /// Gives it something to read; otherwise its input is empty.
    pub fn input(self, input: Vec<u8>) -> Self {
        Self { input, ..self }
    }

    /// Gives it a file to read, from its beginning.
    pub fn input_file(self, file: File) -> Self {
        Self { input_file: Some(file), ..self }
    }

    /// Has it write to a file, from where that stands, instead of giving what it says; as much as it likes.
    pub fn output_file(self, file: File) -> Self {
        Self { output_file: Some(file), output_bytes_max: u64::MAX, ..self }
    }

    /// Lets it run this long.
    pub fn time_limit(self, time_limit: Duration) -> Self {
        Self { time_limit, ..self }
    }

    /// Runs it at a low priority, and ends it when `halt` comes true.
    pub fn in_background(self, halt: &Halt) -> Self {
        Self { is_background: true, halt: halt.clone(), ..self }
    }

    /// Ends it when `halt` comes true.
    pub fn ended_by(self, halt: &Halt) -> Self {
        Self { halt: halt.clone(), ..self }
    }

    /// Runs it to its end; gives what it wrote to stdout, if that was not to a file.
    pub fn run(&self) -> Result<Vec<u8>, ProgramError> {
        self.run_to_end().map_err(|cause| ProgramError {
            command: self.command(),
            folder: self.folder.clone(),
            cause,
        })
    }

    fn run_to_end(&self) -> Result<Vec<u8>, Cause> {
        let (mut said, mut complaints) = (self.said()?, tempfile::tempfile()?);
        let mut group = Group { leader: self.start(&said, &complaints)?, ended: false };
        self.wait(&group.leader, &said, &mut complaints)?;
        let status = group.end()?;
        if !status.success() {
            let exit = status.code().map_or_else(
                || format!("signal {}", status.signal().unwrap_or_default()),
                |code| format!("exit {code}"),
            );
            return Err(Cause::Failed { exit, complaint: tail(&mut complaints)? });
        }
        let mut output = Vec::new();
        if self.output_file.is_none() {
            said.rewind()?;
            said.read_to_end(&mut output)?;
        }
        Ok(output)
    }

    fn said(&self) -> io::Result<File> {
        self.output_file.as_ref().map_or_else(tempfile::tempfile, File::try_clone)
    }

    #[expect(clippy::disallowed_methods, reason = "this is the daemon's one place that starts programs")]
    fn start(&self, said: &File, complaints: &File) -> io::Result<Child> {
        let mut input = match &self.input_file {
            Some(file) => file.try_clone()?,
            None => tempfile::tempfile()?,
        };
        input.write_all(&self.input)?;
        input.rewind()?;
        let path = std::env::var_os("PATH");
        let mut command = Command::new(file_of(self.name.as_ref(), path.as_deref()));
        command.arg0(self.name).args(&self.arguments).current_dir(&self.folder).env_clear();
        command.envs(path.map(|path| ("PATH", path)));
        command.envs(self.environment.iter().copied()).process_group(0);
        let child = command
            .stdin(input)
            .stdout(said.try_clone()?)
            .stderr(Stdio::from(complaints.try_clone()?))
            .spawn()?;
        if self.is_background {
            // A machine that does not allow it runs the program at the usual priority.
            let _ = setpriority_process(Some(Pid::from_child(&child)), BACKGROUND_NICE);
        }
        Ok(child)
    }

    fn wait(&self, child: &Child, said: &File, complaints: &mut File) -> Result<(), Cause> {
        let (begun, mut pause) = (Instant::now(), PAUSE_FIRST);
        // The child is left to be waited for, so that its group's number cannot become another's before the group ends.
        let ended = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT | WaitIdOptions::NOHANG;
        loop {
            if waitid(WaitId::Pid(Pid::from_child(child)), ended).map_err(io::Error::from)?.is_some() {
                return Ok(());
            }
            if self.halt.load(Ordering::Acquire) {
                return Err(Cause::Halted);
            }
            if begun.elapsed() > self.time_limit {
                return Err(Cause::TooLong { limit: self.time_limit, complaint: tail(complaints)? });
            }
            if said.metadata()?.len() > self.output_bytes_max {
                return Err(Cause::TooMuch(self.output_bytes_max));
            }
            std::thread::sleep(pause);
            pause = (pause * 2).min(PAUSE_LAST);
        }
    }

    fn command(&self) -> String {
        let words = self.arguments.iter().map(|argument| argument.to_string_lossy());
        std::iter::once(self.name.into()).chain(words).collect::<Vec<_>>().join(" ")
    }
}

/// A program and all that it started, which ends with it, however the run ends.
struct Group {
    leader: Child,
    ended: bool,
}

impl Group {
    fn end(&mut self) -> io::Result<ExitStatus> {
        self.ended = true;
        // There may be nobody left to end.
        let _ = kill_process_group(Pid::from_child(&self.leader), Signal::KILL);
        self.leader.wait()
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if !self.ended {
            // The error that leads here says more than that the end could not be awaited.
            let _ = self.end();
        }
    }
}

fn tail(complaints: &mut File) -> io::Result<String> {
    let length = complaints.metadata()?.len();
    complaints.seek(SeekFrom::Start(length.saturating_sub(COMPLAINT_BYTES_MAX)))?;
    let mut bytes = Vec::new();
    complaints.take(COMPLAINT_BYTES_MAX).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).trim().to_owned())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn shell(script: &str) -> Program {
        Program::other("sh", Path::new("/")).args(["-c", script])
    }

    #[test]
    fn a_program_reads_its_input_and_its_output_comes_back() {
        let output = Program::other("cat", Path::new("/")).input(vec![7; 300_000]).run().unwrap();
        assert_eq!(output, vec![7; 300_000]);
    }

    #[test]
    fn a_program_adds_to_a_file_as_much_as_it_likes() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"before\n").unwrap();
        let more = u32::try_from(OUTPUT_BYTES_MAX).unwrap() + 1;
        let writes = shell(&format!("head -c {more} /dev/zero")).output_file(file.try_clone().unwrap());
        assert!(writes.run().unwrap().is_empty());
        assert_eq!(file.metadata().unwrap().len(), u64::from(more) + 7);
    }

    #[test]
    fn a_program_is_the_first_of_its_name_that_can_be_run() {
        let folder = tempfile::tempdir().unwrap();
        let (first, second) = (folder.path().join("first"), folder.path().join("second"));
        for (at, mode) in [(&first, 0o644), (&second, 0o755)] {
            std::fs::create_dir(at).unwrap();
            std::fs::write(at.join("tool"), "").unwrap();
            std::fs::set_permissions(at.join("tool"), PermissionsExt::from_mode(mode)).unwrap();
        }
        let path = std::env::join_paths([Path::new("."), &first, &second]).unwrap();
        let find = |name: &str, path| file_of(name.as_ref(), path);
        assert_eq!(find("tool", Some(&path)), second.join("tool"), "the first that can be run");
        for name in ["no-such-tool", "./tool", "second/tool", "/bin/tool"] {
            assert_eq!(find(name, Some(&path)), name);
        }
        assert_eq!(find("tool", None), "tool");
    }

    #[test]
    fn a_failure_names_the_command_the_repository_and_what_git_said() {
        let folder = tempfile::tempdir().unwrap();
        let error = Program::git(folder.path()).args(["rev-parse", "HEAD"]).run().unwrap_err().to_string();
        assert!(error.contains("rev-parse HEAD"), "{error}");
        assert!(error.contains(&folder.path().display().to_string()), "{error}");
        assert!(error.contains("exit 128: fatal: not a git repository"), "{error}");
    }

    #[test]
    fn a_program_that_runs_too_long_is_ended_with_all_that_it_started() {
        let folder = tempfile::tempdir().unwrap();
        let late = folder.path().join("late");
        let script = format!("(sleep 0.6; touch {}) & sleep 60", late.display());
        let begun = Instant::now();
        let error = shell(&script).time_limit(Duration::from_millis(200)).run().unwrap_err();
        assert!(matches!(error.cause, Cause::TooLong { .. }), "{error}");
        assert!(begun.elapsed() < Duration::from_secs(5));
        std::thread::sleep(Duration::from_millis(700));
        assert!(!late.exists());
    }

    #[test]
    fn a_program_that_says_too_much_or_is_halted_is_ended() {
        let endless =
            Program { output_bytes_max: 1 << 20, ..shell("while :; do echo 0123456789012345; done") };
        assert!(matches!(endless.run().unwrap_err().cause, Cause::TooMuch(_)));
        let halt = Halt::new(AtomicBool::new(true));
        assert!(matches!(shell("sleep 60").in_background(&halt).run().unwrap_err().cause, Cause::Halted));
    }

    #[test]
    fn a_program_sees_nothing_of_our_environment_but_the_path() {
        let output = String::from_utf8(Program::other("env", Path::new("/")).run().unwrap()).unwrap();
        assert!(output.lines().all(|line| line.starts_with("PATH=")), "{output}");
    }
}
