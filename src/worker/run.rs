//! Starts programs and ends them: the only file of the agent that does.
//!
//! A program has no input but a file that it is given, its stdout and stderr are one pipe, so their bytes keep their order, and it leads a process
//! group of its own, so a Ctrl-C meant for the agent does not reach it and all of the group can be ended.
//!
//! Invariant: programs are started on a thread of the runtime, never in `spawn_blocking`: bubblewrap's
//! `--die-with-parent` ends it when the *thread* that started it ends, and those threads end when idle.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Resource, Rlimit, Signal, kill_process, kill_process_group};
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe;
use tokio::process::{Child, Command};
use tokio::time::Instant;

use crate::mask::SecretText;

/// As much of what a helper says as is worth keeping.
pub const SAID_BYTES_MAX: usize = 4096;
/// What a program has to end in good order before it is killed. A cancel is obeyed within 2 s.
const GRACE: Duration = Duration::from_millis(1500);
/// How long we read on after the end; the pipe stays open only if something escaped.
const DRAIN_MAX: Duration = Duration::from_secs(1);
/// What a pipe holds on Linux.
const PIPE_BYTES: usize = 64 << 10;

/// A program to run.
#[derive(Clone, Debug)]
pub struct Program {
    /// The program and its arguments; at least the program.
    pub argv: Vec<OsString>,
    /// All of its environment.
    pub environment: Vec<(String, String)>,
    /// And these, which are never shown.
    pub secrets: Vec<(String, SecretText)>,
    pub folder: PathBuf,
    /// The file that is its stdin; it is empty if absent.
    pub input: Option<PathBuf>,
    pub stop_by: StopBy,
    /// How much address space it may have.
    pub memory_bytes_max: Option<u64>,
}

/// Who is asked to end when a program is to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopBy {
    /// The program and what it started.
    OwnGroup,
    /// The groups that its children lead. For bubblewrap, which would end at once with all that is in it: its child is
    /// the first process in the sandbox, passes TERM by, and leads the group of the step.
    ChildrensGroups,
}

/// How a program ended by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    Code(i32),
    Signal(i32),
}

impl std::fmt::Display for Exit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Code(code) => write!(f, "exit {code}"),
            Self::Signal(signal) => write!(f, "signal {signal}"),
        }
    }
}

/// How a run ended.
#[derive(Debug, PartialEq, Eq)]
pub enum Ended<H> {
    Exited(Exit),
    /// We ended it, for this reason.
    Halted(H),
}

/// Runs a program to its end, handing on what it says. When `halt` comes true it is asked to end, and killed if it has not
/// after a grace of 1.5 s. If this future is dropped or `output` fails, it is killed at once.
///
/// # Errors
/// The program cannot be started, or `output` failed.
pub async fn run<H>(
    program: &Program,
    output: &mut (dyn FnMut(&[u8]) -> io::Result<()> + Send),
    halt: impl Future<Output = H>,
) -> io::Result<Ended<H>> {
    let (mut group, mut said) = start(program)?;
    let mut halt = std::pin::pin!(halt);
    let mut halted = None;
    let mut kill_at = None;
    let mut buffer = vec![0; PIPE_BYTES];
    let mut open = true;
    let status = loop {
        tokio::select! {
            read = said.read(&mut buffer), if open => match read? {
                0 => open = false,
                count => output(&buffer[..count])?,
            },
            status = group.child.wait() => break status?,
            why = &mut halt, if halted.is_none() => {
                halted = Some(why);
                group.ask_to_end();
                kill_at = Some(Instant::now() + GRACE);
            }
            () = tokio::time::sleep_until(kill_at.unwrap_or_else(Instant::now)), if kill_at.is_some() => {
                group.kill();
                kill_at = None;
            }
        }
    };
    group.kill_what_is_left();
    let drain = tokio::time::timeout(DRAIN_MAX, drain(&mut said, &mut buffer, output)).await;
    drain.unwrap_or(Ok(()))?;
    Ok(halted.map_or_else(|| Ended::Exited(exit(status)), Ended::Halted))
}

async fn drain(
    said: &mut pipe::Receiver,
    buffer: &mut [u8],
    output: &mut (dyn FnMut(&[u8]) -> io::Result<()> + Send),
) -> io::Result<()> {
    loop {
        match said.read(buffer).await? {
            0 => return Ok(()),
            count => output(&buffer[..count])?,
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "this is the agent's one place that starts programs")]
fn start(program: &Program) -> io::Result<(Group, pipe::Receiver)> {
    let (reader, writer) = io::pipe()?;
    let mut command = Command::new(&program.argv[0]);
    command
        .args(&program.argv[1..])
        .env_clear()
        .envs(program.environment.iter().map(|(name, value)| (name, value)))
        .envs(program.secrets.iter().map(|(name, value)| (name, value.reveal())));
    command.current_dir(&program.folder).process_group(0).kill_on_drop(true);
    let input = program.input.as_ref().map(std::fs::File::open).transpose()?;
    command.stdin(input.map_or_else(Stdio::null, Stdio::from)).stdout(writer.try_clone()?).stderr(writer);
    let child = command.spawn()?;
    let leader = child.id().and_then(|id| Pid::from_raw(id.cast_signed())).ok_or(io::ErrorKind::NotFound)?;
    let group = Group { child, leader, stop_by: program.stop_by, ended: false };
    if let Some(bytes) = program.memory_bytes_max {
        let limit = Rlimit { current: Some(bytes), maximum: Some(bytes) };
        rustix::process::prlimit(Some(leader), Resource::As, limit)?;
    }
    Ok((group, pipe::Receiver::from_owned_fd(reader.into())?))
}

fn exit(status: ExitStatus) -> Exit {
    use std::os::unix::process::ExitStatusExt;
    match (status.code(), status.signal()) {
        (Some(code), _) => Exit::Code(code),
        (None, signal) => Exit::Signal(signal.unwrap_or_default()),
    }
}

/// A running program and its process group, which ends with this value.
struct Group {
    child: Child,
    leader: Pid,
    stop_by: StopBy,
    ended: bool,
}

impl Group {
    /// Sends TERM.
    fn ask_to_end(&self) {
        match self.stop_by {
            StopBy::OwnGroup => signal_group(self.leader, Signal::TERM),
            StopBy::ChildrensGroups => {
                children(self.leader).into_iter().for_each(|child| signal_group(child, Signal::TERM));
            }
        }
    }

    /// Sends KILL: first to the children, for a bubblewrap that has just started may not yet have tied them to itself.
    fn kill(&self) {
        if self.stop_by == StopBy::ChildrensGroups {
            for child in children(self.leader) {
                let _ = kill_process(child, Signal::KILL);
            }
        }
        signal_group(self.leader, Signal::KILL);
    }

    /// After the program's own end: what it left running. In a sandbox the kernel has ended that.
    fn kill_what_is_left(&mut self) {
        self.ended = true;
        if self.stop_by == StopBy::OwnGroup {
            signal_group(self.leader, Signal::KILL);
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if !self.ended {
            self.kill();
        }
    }
}

/// Signals a group. An error is passed over: whoever is gone already needs no signal.
fn signal_group(leader: Pid, signal: Signal) {
    let _ = kill_process_group(leader, signal);
}

/// The processes whose parent is `parent`. `/proc/<pid>/task/<tid>/children` would tell, but not every kernel has it.
fn children(parent: Pid) -> Vec<Pid> {
    let Ok(entries) = std::fs::read_dir("/proc") else { return Vec::new() };
    let pids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter_map(Pid::from_raw).filter(|pid| parent_of(*pid) == Some(parent)).collect()
}

fn parent_of(pid: Pid) -> Option<Pid> {
    let stat = std::fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("stat")).ok()?;
    parent_in_stat(&stat)
}

/// The parent in a line of `/proc/<pid>/stat`; the name before it is in brackets and may hold anything (proc(5)).
fn parent_in_stat(stat: &str) -> Option<Pid> {
    let (_, behind_name) = stat.rsplit_once(')')?;
    Pid::from_raw(behind_name.split_whitespace().nth(1)?.parse().ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Program {
        Program {
            argv: ["/bin/sh", "-c", script].map(OsString::from).to_vec(),
            environment: vec![("PATH".into(), super::super::sandbox::PATH.into())],
            secrets: Vec::new(),
            folder: "/".into(),
            input: None,
            stop_by: StopBy::OwnGroup,
            memory_bytes_max: None,
        }
    }

    fn collect(said: &mut Vec<u8>) -> impl FnMut(&[u8]) -> io::Result<()> {
        |bytes| {
            said.extend_from_slice(bytes);
            Ok(())
        }
    }

    async fn said_by(program: &Program) -> (Ended<()>, String) {
        let mut said = Vec::new();
        let ended = run(program, &mut collect(&mut said), std::future::pending()).await.unwrap();
        (ended, String::from_utf8(said).unwrap())
    }

    #[tokio::test]
    async fn stdout_and_stderr_keep_the_order_in_which_they_were_written() {
        let (ended, said) =
            said_by(&shell("for n in 1 2 3 4 5; do echo o$n; echo e$n >&2; done; exit 3")).await;
        assert_eq!(said, "o1\ne1\no2\ne2\no3\ne3\no4\ne4\no5\ne5\n");
        assert_eq!(ended, Ended::Exited(Exit::Code(3)));
    }

    #[tokio::test]
    async fn a_program_has_only_the_environment_it_is_given_and_no_input() {
        let (_, said) = said_by(&shell("cat; env | sort")).await;
        let names: Vec<&str> = said.lines().filter_map(|line| Some(line.split_once('=')?.0)).collect();
        assert_eq!(names, ["PATH", "PWD"], "the shell itself adds PWD");
    }

    #[tokio::test]
    async fn what_a_program_leaves_behind_is_ended_with_it() {
        let (ended, said) = said_by(&shell("sleep 30 & echo $!")).await;
        assert_eq!(ended, Ended::Exited(Exit::Code(0)));
        let left = Pid::from_raw(said.trim().parse().unwrap()).unwrap();
        ends(left).await;
    }

    #[tokio::test]
    async fn a_program_that_does_not_listen_is_killed_with_its_children() {
        let program = shell("trap '' TERM; sleep 30 & echo $!; wait; sleep 30");
        let mut said = Vec::new();
        let halt = tokio::time::sleep(Duration::from_millis(300));
        let ended = run(&program, &mut collect(&mut said), halt).await.unwrap();
        assert_eq!(ended, Ended::Halted(()));
        let child = Pid::from_raw(String::from_utf8(said).unwrap().trim().parse().unwrap()).unwrap();
        ends(child).await;
    }

    #[tokio::test]
    async fn a_limit_on_memory_holds() {
        let program = Program { memory_bytes_max: Some(256 << 20), ..shell("sleep 0.2; ulimit -v") };
        assert_eq!(said_by(&program).await.1, format!("{}\n", 256 << 10));
    }

    #[test]
    fn a_name_with_brackets_and_spaces_does_not_hide_the_parent() {
        assert_eq!(parent_in_stat("12 (a) R 1 (b) S 34 12 12 0"), Pid::from_raw(34));
    }

    /// A killed process takes a moment to go, and stays a zombie until whoever inherited it looks.
    async fn ends(pid: Pid) {
        for _ in 0..100 {
            let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            if stat.rsplit_once(')').is_none_or(|(_, rest)| rest.trim_start().starts_with(['Z', 'X'])) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("{pid} still runs");
    }
}
