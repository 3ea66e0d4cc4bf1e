//! Files that are no entity, and entities that say what their pusher may not ask for.

use std::time::Duration;

use git2::Oid;
use mrx::state::layout;

use super::{Attack, How, Site, state};

fn job_with(site: &Site, line: &str) -> How {
    state(site.edited(&site.job_path(), &[("priority: 0", line)]))
}

fn payload(site: &Site, yaml: &str) -> How {
    state(site.edited(&site.job_path(), &[("payload: {}", &format!("payload:{yaml}"))]))
}

/// Ten names of ten names of ten names …: a gigabyte, if each were written out.
fn aliases(site: &Site) -> How {
    let mut text = "\n  a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..10 {
        let below = format!("*a{}, ", level - 1).repeat(10);
        text += &format!("  a{level}: &a{level} [{below}]\n");
    }
    payload(site, &text)
}

/// Files that the same commit changes alike.
fn files(site: &Site, files: &[(&str, &str)]) -> Oid {
    let craft = &site.craft;
    files
        .iter()
        .fold(site.tip, |at, (path, text)| craft.commit(craft.with_file(at, path, text.as_bytes()), at))
}

pub const FILES: &[Attack] = &[
    ("an unknown field", "operator", "unknown field `extra`", |site| job_with(site, "priority: 0\nextra: 1")),
    ("a field twice", "operator", "duplicate", |site| job_with(site, "priority: 0\npriority: 1")),
    ("a field missing", "operator", "missing field `projectId`", |site| {
        state(site.edited(&site.job_path(), &[("projectId: mrx-hello\n", "")]))
    }),
    ("a number as a list", "operator", "priority", |site| job_with(site, "priority: [0]")),
    ("a number far too large", "operator", "priority", |site| {
        job_with(site, "priority: 100000000000000000000000000")
    }),
    ("a priority beyond its limit", "operator", "priority", |site| job_with(site, "priority: 128")),
    ("no YAML", "operator", "invalid type", |site| state(site.with_file(&site.job_path(), b"{{{{"))),
    ("an empty file", "operator", "missing field", |site| state(site.with_file(&site.job_path(), b""))),
    ("two documents", "operator", "unknown field", |site| {
        state(site.with_file(&site.job_path(), b"a: 1\n---\nb: 1\n"))
    }),
    ("a file that is no UTF-8", "operator", "utf-8", |site| {
        state(site.with_file(&site.job_path(), b"jobId: \xff\n"))
    }),
    ("a file of UTF-16", "operator", "utf-8", |site| {
        state(site.with_file(&site.job_path(), b"\xff\xfej\0o\0b\0"))
    }),
    ("a bomb of aliases", "operator", "repetition limit", aliases),
    ("lists 30,000 deep", "operator", "values stand more than 32 deep", |site| {
        payload(site, &format!("\n  x: {}", "[".repeat(30_000)))
    }),
    ("lists 900,000 deep", "operator", "might take long", |site| {
        payload(site, &format!(" {}", "[".repeat(900_000)))
    }),
    ("maps 200,000 deep", "operator", "might take long", |site| {
        payload(site, &format!(" {}", "{a: ".repeat(200_000)))
    }),
    ("an alias of what it stands in", "operator", "values stand more than 32 deep", |site| {
        payload(site, " &a\n  x: *a\n")
    }),
    ("a tag of another language", "operator", "an object is needed here", |site| {
        payload(site, " !!python/object/apply:os.system [id]\n")
    }),
    ("a job in another job's place", "operator", "jobId", |site| {
        let text = site.craft.file(site.tip, &site.job_path());
        state(site.with_file(&site.path_of(&site.blocked), text.as_bytes()))
    }),
    ("a job in the wrong folder", "operator", "no file of a project's state has this path", |site| {
        let text = site.craft.file(site.tip, &site.job_path());
        state(site.with_file(&format!("jobs/open/0/0/0/{}.yaml", site.job), text.as_bytes()))
    }),
    ("an open job among those that are done", "writer", "whoever manages it", |site| {
        let text = site.craft.file(site.tip, &site.job_path());
        let path = layout::done_job_on(&site.job.parse().unwrap(), "2026-11-20");
        state(site.with_file(&path, text.as_bytes()))
    }),
    ("a job of a day that is none", "operator", "no file of a project's state has this path", |site| {
        let text = site.craft.file(site.tip, &site.job_path());
        let path = layout::done_job_on(&site.job.parse().unwrap(), "2026-02-31");
        state(site.with_file(&path, text.as_bytes()))
    }),
    ("a job of another project", "operator", "projectId", |site| {
        state(site.edited(&site.job_path(), &[("projectId: mrx-hello", "projectId: mrx-other")]))
    }),
    ("an unknown kind of file", "operator", "no file of a project's state has this path", |site| {
        state(site.with_file("notes/today.yaml", b"x: 1\n"))
    }),
    ("a good file, and a bad one before it in history", "operator", "unknown field", |site| {
        let first = site.edited(&site.job_path(), &[("priority: 0", "priority: 0\nextra: 1")]);
        let text = site.craft.file(site.tip, &site.job_path()).replace("priority: 0", "priority: 3");
        state(site.craft.commit(site.craft.with_file(first, &site.job_path(), text.as_bytes()), first))
    }),
    ("a schedule for no time", "operator", "schedules/x.yaml", |site| {
        let text = b"name: x\ncron: '99 99 * * *'\njobType: build\ncreatedAt: 2020-01-01T00:00:00.000Z\n";
        state(site.with_file("schedules/x.yaml", text))
    }),
    ("a schedule by another name", "operator", "schedules/x.yaml", |site| {
        let text = b"name: y\ncron: '0 3 * * *'\njobType: build\ncreatedAt: 2020-01-01T00:00:00.000Z\n";
        state(site.with_file("schedules/x.yaml", text))
    }),
    ("messages without a chat", "operator", "missing field `chatId`", |site| {
        let path = layout::chat_segment(&"chat-01kbgh2e8m0000000000000000".parse().unwrap(), 1);
        state(site.with_file(&path, b"messages: []\n"))
    }),
    ("a project by another name", "operator", "project.yaml", |site| {
        state(site.edited("project.yaml", &[("projectId: mrx-hello", "projectId: mrx-other")]))
    }),
];

fn claim(site: &Site, job: &str, agent: &str) -> How {
    let claimed = format!("claimedBy: {agent}");
    state(
        site.edited(
            &site.path_of(job),
            &[("state: pending", "state: claimed"), ("claimedBy: null", &claimed)],
        ),
    )
}

pub const WISHES: &[Attack] = &[
    ("a claim in another's name", "builder-1", "claimedBy must be the agent", |site| {
        claim(site, &site.job, "cpu")
    }),
    ("a claim in nobody's name", "builder-1", "claimedBy must be the agent", |site| {
        state(site.edited(&site.job_path(), &[("state: pending", "state: claimed")]))
    }),
    ("two claims in one push", "builder-1", "more than one job", |site| {
        let claimed = |path: &str| {
            let text = site.craft.file(site.tip, path);
            text.replace("state: pending", "state: claimed")
                .replace("claimedBy: null", "claimedBy: builder-1")
        };
        let (one, two) = (site.job_path(), site.path_of(&site.labelled));
        state(files(site, &[(&one, &claimed(&one)), (&two, &claimed(&two))]))
    }),
    ("a claim of a job that waits for another", "builder-1", "needs", |site| {
        claim(site, &site.blocked, "builder-1")
    }),
    ("a claim of a job that a colleague holds", "builder-1", "not by builder-1", |site| {
        state(site.edited(&site.path_of(&site.held), &[("claimedBy: colleague", "claimedBy: builder-1")]))
    }),
    ("a claim of a label that the agent may not offer", "cpu", "may not offer", |site| {
        claim(site, &site.labelled, "cpu")
    }),
    ("another's job completed", "builder-1", "not by builder-1", |site| {
        state(site.edited(&site.path_of(&site.held), &[("state: claimed", "state: completed")]))
    }),
    ("a waiting job completed at once", "builder-1", "is claimed first", |site| {
        state(site.edited(&site.job_path(), &[("state: pending", "state: completed")]))
    }),
    ("a job's payload changed by an agent", "builder-1", "payload is not changed", |site| {
        state(site.edited(&site.job_path(), &[("payload: {}", "payload:\n  ref: evil")]))
    }),
    ("a job removed by an agent", "builder-1", "is not removed", |site| {
        state(site.craft.commit(site.craft.without(site.tip, &site.job_path()), site.tip))
    }),
    ("a job removed by the operator", "operator", "is not removed", |site| {
        state(site.craft.commit(site.craft.without(site.tip, &site.job_path()), site.tip))
    }),
    ("a job made by an agent", "builder-1", "agents make no jobs", |site| {
        let id = "job-01kbgh2e8m0000000000000000";
        let text = site.craft.file(site.tip, &site.job_path()).replace(&site.job, id);
        state(site.with_file(&site.path_of(id), text.as_bytes()))
    }),
    ("a chat changed by an agent", "builder-1", "agents change the files of jobs alone", |site| {
        state(site.edited(&site.chat_path(), &[("title: Plan", "title: Mine")]))
    }),
    ("an agent of other projects", "elsewhere", "not found", |site| claim(site, &site.job, "elsewhere")),
    ("a person who may only read", "reader", "403", |site| {
        state(site.edited(&site.job_path(), &[("state: pending", "state: cancelled")]))
    }),
    ("a key that may only read", "read-only", "403", |site| {
        state(site.edited(&site.job_path(), &[("state: pending", "state: cancelled")]))
    }),
    ("a priority changed by who may write", "writer", "whoever manages it", |site| {
        job_with(site, "priority: 9")
    }),
    ("a prompt of who may write", "writer", "whoever manages the project", |site| {
        state(site.with_file("chats/prompt.yaml", b"text: Be brief\nupdatedAt: 2020-01-01T00:00:00.000Z\n"))
    }),
    ("a job of who may write", "writer", "whoever manages the project", |site| {
        let id = "job-01kbgh2e8m0000000000000000";
        let text = site.craft.file(site.tip, &site.job_path()).replace(&site.job, id);
        state(site.with_file(&site.path_of(id), text.as_bytes()))
    }),
    ("an attempt rewritten by who may write", "writer", "whoever manages it", |site| {
        state(site.edited(
            &site.job_path(),
            &[("state: pending", "state: completed"), ("attempt: 1", "attempt: 7")],
        ))
    }),
    ("a chat's messages taken out", "writer", "a segment has 1 to 32", |site| {
        let path = layout::chat_segment(&site.chat.parse().unwrap(), 1);
        let text = format!("chatId: {}\nmessages: []\n", site.chat);
        state(site.with_file(&path, text.as_bytes()))
    }),
    ("one good wish and one bad", "writer", "whoever manages it", |site| {
        let path = site.chat_path();
        let chat = site.craft.file(site.tip, &path).replace("title: Plan", "title: Other");
        let job = site.craft.file(site.tip, &site.job_path()).replace("priority: 0", "priority: 9");
        state(files(site, &[(&path, &chat), (&site.job_path(), &job)]))
    }),
];

/// What an agent with the token of one lease may not do by it.
pub const WITH_A_TOKEN: &[Attack] = &[
    ("a claim of another job", "one-lease", "the token is for one lease", |site| {
        claim(site, &site.job, "colleague")
    }),
    ("its own job by an older lease", "old-lease", "the token is for one lease", |site| {
        state(site.edited(&site.path_of(&site.held), &[("state: claimed", "state: completed")]))
    }),
];

/// What may not be while the group of a job is busy, or the project.
pub const WITHOUT_ROOM: &[Attack] =
    &[("a claim over the project's limit", "builder-1", "as many jobs of the project", |site| {
        claim(site, &site.job, "builder-1")
    })];

/// A token of the held job's lease, and one of a lease that is over.
pub fn tokens(site: &Site, lease: &str) -> [String; 2] {
    let until = site.world.clock.now().after(Duration::from_secs(600));
    let of = |lease: &str| {
        let (agent, job) = ("colleague".parse().unwrap(), site.held.parse().unwrap());
        let token = site.world.app().identity.lease_token(&agent, &job, &lease.parse().unwrap(), until);
        token.reveal().to_owned()
    };
    [of(lease), of("lease-01kbgh2e8m0000000000000000")]
}
