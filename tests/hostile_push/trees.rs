//! Entries, trees and histories that git can store and the state does not have.

use git2::{ObjectType, Oid};
use mrx::state::layout::STATE_REF;

use super::craft::{ADA, FILE, FOLDER, insert, pack, push_of};
use crate::world::HELLO;

use super::{Attack, How, Site, packed, state};

/// An entry beside the schedules, committed.
fn entry(site: &Site, mode: &str, name: &[u8]) -> How {
    let craft = &site.craft;
    let oid = craft.blob(b"name: x\n");
    state(craft.commit(craft.with_entry(site.tip, "schedules", mode, name, oid), site.tip))
}

/// Entries at the end of the schedules' folder, in this order.
fn entries(site: &Site, names: &[(&str, &[u8])]) -> How {
    let (craft, oid) = (&site.craft, site.craft.blob(b"name: x\n"));
    let add = |entries: &mut Vec<_>| {
        entries.extend(names.iter().map(|(mode, name)| (mode.as_bytes().to_vec(), name.to_vec(), oid)));
    };
    state(craft.commit(craft.tree_with(site.tip, "schedules", add), site.tip))
}

fn committed(site: &Site, mode: &str, name: &str, oid: Oid) -> Oid {
    let craft = &site.craft;
    craft.commit(craft.with_entry(site.tip, "schedules", mode, name.as_bytes(), oid), site.tip)
}

fn object(site: &Site, mode: &str, name: &str, oid: Oid) -> How {
    state(committed(site, mode, name, oid))
}

/// A folder of ten folders, each of ten folders, and so on, and at the bottom nothing: few objects, and endless paths.
fn endless_folders(site: &Site) -> How {
    let craft = &site.craft;
    let mut folder = craft.tree(&[]);
    for _ in 0..10 {
        let below: Vec<_> =
            (b'a'..b'k').map(|name| (FOLDER.as_bytes().to_vec(), vec![name], folder)).collect();
        folder = craft.tree(&below);
    }
    object(site, FOLDER, "deep", folder)
}

fn nested(site: &Site, depth: usize) -> How {
    let path = vec!["a"; depth].join("/") + "/x.yaml";
    state(site.with_file(&path, b"name: x\n"))
}

const NAME: &str = "has this name";

pub const ENTRIES: &[Attack] = &[
    ("a symbolic link", "operator", "a symbolic link", |site| entry(site, "120000", b"x.yaml")),
    ("an executable file", "operator", "an executable file", |site| entry(site, "100755", b"x.yaml")),
    ("a file that its group may write", "operator", "mode", |site| entry(site, "100664", b"x.yaml")),
    ("a mode of no kind", "operator", "mode", |site| entry(site, "100000", b"x.yaml")),
    ("a mode with a zero in front", "operator", "zeroPaddedFilemode", |site| {
        entry(site, "0100644", b"x.yaml")
    }),
    ("a submodule", "operator", "a submodule", |site| object(site, "160000", "sub", site.tip)),
    ("a folder that is a file", "operator", "unpack index-pack abnormal exit", |site| {
        packed(site, committed(site, FOLDER, "sub", site.craft.blob(b"name: x\n")))
    }),
    ("a file that is a folder", "operator", "unpack index-pack abnormal exit", |site| {
        packed(site, committed(site, FILE, "x.yaml", site.craft.tree(&[])))
    }),
    ("a file that is a commit", "operator", "unpack index-pack abnormal exit", |site| {
        packed(site, committed(site, FILE, "x.yaml", site.tip))
    }),
    (".git", "operator", "hasDotgit", |site| entry(site, FILE, b".git")),
    (".GIT", "operator", "hasDotgit", |site| entry(site, FILE, b".GIT")),
    ("git~1", "operator", "hasDotgit", |site| entry(site, FILE, b"git~1")),
    (".git with a space behind", "operator", "hasDotgit", |site| entry(site, FILE, b".git ")),
    (".git with a dot behind", "operator", "hasDotgit", |site| entry(site, FILE, b".git.")),
    (".git with a zero-width joiner", "operator", "hasDotgit", |site| {
        entry(site, FILE, ".g\u{200d}it".as_bytes())
    }),
    (".git::$INDEX_ALLOCATION", "operator", "hasDotgit", |site| {
        entry(site, FILE, b".git::$INDEX_ALLOCATION")
    }),
    (".gitmodules", "operator", "gitmodules", |site| entry(site, FILE, b".gitmodules")),
    (".gitattributes", "operator", NAME, |site| entry(site, FILE, b".gitattributes")),
    (".. as a file", "operator", "hasDotdot", |site| entry(site, FILE, b"..")),
    (". as a file", "operator", "hasDot", |site| entry(site, FILE, b".")),
    ("a name with a slash", "operator", "fullPathname", |site| entry(site, FILE, b"../x.yaml")),
    ("a name of two words", "operator", NAME, |site| entry(site, FILE, b"a b.yaml")),
    ("a name with a capital", "operator", NAME, |site| entry(site, FILE, b"Nightly.yaml")),
    ("two names that differ in case", "operator", NAME, |site| {
        entries(site, &[(FILE, b"A.yaml"), (FILE, b"a.yaml")])
    }),
    ("an accent in one code point", "operator", NAME, |site| entry(site, FILE, "caf\u{e9}.yaml".as_bytes())),
    ("an accent in two code points", "operator", NAME, |site| {
        entry(site, FILE, "cafe\u{301}.yaml".as_bytes())
    }),
    ("a name that is no UTF-8", "operator", NAME, |site| entry(site, FILE, b"\xff\xfe.yaml")),
    ("a control byte", "operator", NAME, |site| entry(site, FILE, b"a\x01.yaml")),
    ("an escape sequence", "operator", NAME, |site| entry(site, FILE, b"\x1b[2J.yaml")),
    ("a carriage return", "operator", NAME, |site| entry(site, FILE, b"a.yaml\r")),
    ("a newline", "operator", NAME, |site| entry(site, FILE, b"a\n.yaml")),
    ("a backslash", "operator", NAME, |site| entry(site, FILE, b"a\\b.yaml")),
    ("an option as a name", "operator", NAME, |site| entry(site, FILE, b"--upload-pack=x.yaml")),
    ("a name of 5,000 bytes", "operator", "remote: ", |site| entry(site, FILE, &[b'a'; 5000])),
    ("one name twice", "operator", "duplicateEntries", |site| {
        entries(site, &[(FILE, b"x.yaml"), (FILE, b"x.yaml")])
    }),
    ("a file and a folder of one name", "operator", "duplicateEntries", |site| {
        let craft = &site.craft;
        let (file, folder) = (craft.blob(b"name: x\n"), craft.tree(&[]));
        let add = |entries: &mut Vec<_>| {
            entries.push((FILE.into(), b"x".to_vec(), file));
            entries.push((FOLDER.into(), b"x".to_vec(), folder));
        };
        packed(site, craft.commit(craft.tree_with(site.tip, "schedules", add), site.tip))
    }),
    ("names out of order", "operator", "treeNotSorted", |site| {
        entries(site, &[(FILE, b"z.yaml"), (FILE, b"a.yaml")])
    }),
    ("an empty folder", "operator", "changes nothing", |site| {
        object(site, FOLDER, "empty", site.craft.tree(&[]))
    }),
    ("endless folders without a file", "operator", "folders", endless_folders),
    ("a file 14 folders deep", "operator", "too deep", |site| nested(site, 14)),
    ("a file 1,500 folders deep", "operator", "too deep", |site| {
        let mut below = site.craft.tree(&[(FILE.into(), b"x".to_vec(), site.craft.blob(b"x"))]);
        for _ in 0..1500 {
            below = site.craft.tree(&[(FOLDER.into(), b"a".to_vec(), below)]);
        }
        packed(site, committed(site, FOLDER, "deep", below))
    }),
    ("a folder of 60,000 names", "operator", "more than 1048576", |site| {
        let (craft, oid) = (&site.craft, site.craft.blob(b"x"));
        let add = |entries: &mut Vec<_>| {
            entries.clear();
            entries.extend(
                (0..60_000).map(|at| (FILE.as_bytes().to_vec(), format!("{at:05}").into_bytes(), oid)),
            );
        };
        state(craft.commit(craft.tree_with(site.tip, "schedules", add), site.tip))
    }),
    ("README.md", "operator", NAME, |site| state(site.with_file("README.md", b"hello"))),
    (".mrx", "operator", NAME, |site| state(site.with_file(".mrx/schema/job.json", b"{}"))),
    ("code.yaml", "operator", "code.yaml", |site| state(site.with_file("code.yaml", b"x: 1\n"))),
    ("a secret", "operator", "secrets/", |site| state(site.with_file("secrets/github.yaml", b"x: 1\n"))),
    ("a secret's value", "operator", "secrets/", |site| state(site.with_file("secrets/github.age", b"age"))),
    ("project.yaml removed", "operator", "project.yaml", |site| {
        state(site.craft.commit(site.craft.without(site.tip, "project.yaml"), site.tip))
    }),
    ("all files removed", "operator", NAME, |site| state(site.craft.commit(site.craft.tree(&[]), site.tip))),
];

/// A commit that changes a chat's title, with this author, committer, headers and message.
fn said(site: &Site, author: &str, committer: &str, headers: &str, message: &[u8]) -> How {
    let craft = &site.craft;
    let good = site.edited(&site.chat_path(), &[("title: Plan", "title: Other")]);
    let tree = craft.repo.find_commit(good).unwrap().tree_id();
    state(craft.commit_of(tree, &[site.tip], author, committer, headers, message))
}

fn saying(site: &Site, message: &[u8]) -> How {
    said(site, ADA, ADA, "", message)
}

fn good(site: &Site) -> Oid {
    site.edited(&site.chat_path(), &[("title: Plan", "title: Other")])
}

fn to(site: &Site, name: &str) -> How {
    How::Git(vec![format!("{}:{name}", good(site))])
}

/// So many commits in a line, each with another title.
fn line(site: &Site, count: usize, message: &[u8]) -> How {
    let mut at = site.tip;
    for number in 0..count {
        let path = site.chat_path();
        let text = site.craft.file(at, &path).replace("title: ", &format!("title: {number} "));
        let short: String =
            text.lines().map(|line| line.chars().take(150).collect::<String>() + "\n").collect();
        at = site.craft.commit_saying(site.craft.with_file(at, &path, short.as_bytes()), at, message);
    }
    state(at)
}

fn schedules(site: &Site, count: usize, bytes: usize) -> How {
    let craft = &site.craft;
    let tree = craft.tree_with(site.tip, "schedules", |entries| {
        for number in 0..count {
            let text = format!("name: s{number}\n# {}\n", "x".repeat(bytes));
            insert(entries, FILE, format!("s{number}.yaml").as_bytes(), craft.blob(text.as_bytes()));
        }
    });
    state(craft.commit(tree, site.tip))
}

/// The newest of 150 commits without any of the branch, in this repository.
fn beside(site: &Site, repo: &git2::Repository) -> Oid {
    let tree = site.craft.repo.find_commit(site.tip).unwrap().tree_id();
    let (odb, mut at) = (repo.odb().unwrap(), None);
    for number in 0..150 {
        let parent = at.map_or_else(String::new, |at: Oid| format!("parent {at}\n"));
        let text = format!("tree {tree}\n{parent}author {ADA}\ncommitter {ADA}\n\n{number}\n");
        at = Some(odb.write(ObjectType::Commit, text.as_bytes()).unwrap());
    }
    at.unwrap()
}

pub const HISTORIES: &[Attack] = &[
    ("two refs", "operator", "more than one ref", |site| {
        How::Git(vec![format!("{}:{STATE_REF}", good(site)), format!("{}:refs/heads/other", good(site))])
    }),
    ("two refs, all or nothing", "operator", "more than one ref", |site| {
        How::Git(vec![
            "--atomic".into(),
            format!("{}:{STATE_REF}", good(site)),
            format!("{}:refs/tags/v1", good(site)),
        ])
    }),
    ("the branch deleted", "operator", "is not deleted", |_| How::Git(vec![format!(":{STATE_REF}")])),
    ("another branch", "operator", "refs/heads/main is not written to", |site| to(site, "refs/heads/main")),
    ("a tag", "operator", "refs/tags/v1 is not written to", |site| to(site, "refs/tags/v1")),
    ("a branch of logs", "operator", "is not written to", |site| to(site, "refs/heads/logs/2026-11-20")),
    ("what was rejected", "operator", "is not written to", |site| to(site, "refs/rejected/1")),
    ("a replacement", "operator", "is not written to", |site| to(site, "refs/replace/1")),
    ("notes", "operator", "is not written to", |site| to(site, "refs/notes/commits")),
    ("a ref named with an option", "operator", "is not written to", |site| {
        to(site, "refs/heads/--upload-pack")
    }),
    ("an older commit", "operator", "non-fast-forward", |site| {
        state(site.craft.repo.find_commit(site.tip).unwrap().parent_id(0).unwrap())
    }),
    ("a commit on an older one", "operator", "non-fast-forward", |site| {
        let old = site.craft.repo.find_commit(site.tip).unwrap().parent_id(0).unwrap();
        state(site.craft.commit(site.craft.with_file(old, &site.chat_path(), b"x: 1\n"), old))
    }),
    ("a commit without a parent", "operator", "non-fast-forward", |site| {
        let tree = site.craft.repo.find_commit(good(site)).unwrap().tree_id();
        state(site.craft.commit_of(tree, &[], ADA, ADA, "", b"Begin\n"))
    }),
    ("150 commits that share nothing with the branch", "operator", "non-fast-forward", |site| {
        state(beside(site, &site.craft.repo))
    }),
    ("150 commits that the repository has beside its branch", "operator", "non-fast-forward", |site| {
        let newest = beside(site, &site.world.repository(HELLO));
        How::Body(push_of(site.tip, newest, &pack(&[])))
    }),
    ("a merge", "operator", "is a merge", |site| {
        let (one, two) = (good(site), site.with_file("schedules/a.yaml", b"name: a\n"));
        let tree = site.craft.repo.find_commit(one).unwrap().tree_id();
        state(site.craft.commit_of(tree, &[one, two], ADA, ADA, "", b"Merge\n"))
    }),
    ("a merge of one commit with itself", "operator", "is a merge", |site| {
        let tree = site.craft.repo.find_commit(good(site)).unwrap().tree_id();
        state(site.craft.commit_of(tree, &[site.tip, site.tip], ADA, ADA, "", b"Merge\n"))
    }),
    ("a branch that is a blob", "operator", "is no commit", |site| state(site.craft.blob(b"hello"))),
    ("a branch that is a tag of a commit", "operator", "is no commit", |site| {
        let text = format!("object {}\ntype commit\ntag v1\ntagger {ADA}\n\nv1\n", good(site));
        state(site.craft.write(ObjectType::Tag, text.as_bytes()))
    }),
    ("201 commits", "operator", "more than 200 commits", |site| line(site, 201, b"Again\n")),
    ("nothing new in two commits", "operator", "changes nothing", |site| {
        let (one, tree) = (good(site), site.craft.repo.find_commit(site.tip).unwrap().tree_id());
        state(site.craft.commit(tree, one))
    }),
    ("1,001 files", "operator", "more than 1000 files", |site| schedules(site, 1001, 1)),
    ("a file of more than 1 MiB", "operator", "a file of state has at most", |site| {
        schedules(site, 1, 1 << 20)
    }),
    ("files of more than 8 MiB", "operator", "its files have more than", |site| {
        schedules(site, 9, 1_000_000)
    }),
    ("a trailer of the daemon", "operator", "begins with Mrx-", |site| {
        saying(site, b"Mine\n\nMrx-Event: job.claimed\n")
    }),
    ("a trailer in capitals", "operator", "begins with Mrx-", |site| {
        saying(site, b"Mine\n\n MRX-ACTOR: operator operator\n")
    }),
    ("a trailer as the first line", "operator", "begins with Mrx-", |site| saying(site, b"Mrx-Request: 1\n")),
    ("the daemon as the committer", "operator", "as only the daemon's are", |site| {
        said(site, ADA, "MrX <daemon@mrx.invalid> 1795168800 +0000", "", b"Mine\n")
    }),
    ("an agent of the daemon as the author", "operator", "as only the daemon's are", |site| {
        said(site, "b <b@agent.mrx.invalid> 1795168800 +0000", ADA, "", b"Mine\n")
    }),
    ("the daemon's address in capitals", "operator", "as only the daemon's are", |site| {
        said(site, "b <b@AGENT.MRX.INVALID> 1795168800 +0000", ADA, "", b"Mine\n")
    }),
    ("an escape sequence in the message", "operator", "control characters", |site| {
        saying(site, b"\x1b[2Jgone\n")
    }),
    ("a carriage return in the message", "operator", "control characters", |site| {
        saying(site, b"good\rbad \n")
    }),
    ("a NUL in the message", "operator", "nulInCommit", |site| saying(site, b"good\0bad\n")),
    ("a message that is no UTF-8", "operator", "no UTF-8", |site| saying(site, b"\xff\xfe\n")),
    ("a message of 100 KiB", "operator", "more than 16384", |site| saying(site, &[b'x'; 100 << 10])),
    ("a first line of 2,000 bytes", "operator", "first line", |site| saying(site, &[b'x'; 2000])),
    ("an escape sequence in the author's name", "operator", "the header of", |site| {
        said(site, "\x1b[2J <a@example.org> 1795168800 +0000", ADA, "", b"Mine\n")
    }),
    ("a committer's name of 10,000 bytes", "operator", "the committer of", |site| {
        said(site, ADA, &format!("{} <a@example.org> 1795168800 +0000", "x".repeat(10_000)), "", b"Mine\n")
    }),
    ("words in another encoding", "operator", "an encoding of its own", |site| {
        said(site, ADA, ADA, "encoding UTF-7\n", b"+AE0-rx-Event: job.claimed\n")
    }),
    ("two authors", "operator", "multipleAuthors", |site| {
        said(site, &format!("{ADA}\nauthor {ADA}"), ADA, "", b"Mine\n")
    }),
    ("a NUL in a header", "operator", "nulInHeader", |site| {
        said(site, ADA, ADA, "mood good\0bad\n", b"Mine\n")
    }),
    ("a header of 20,000 bytes", "operator", "more than 16384", |site| {
        said(site, ADA, ADA, &format!("mood {}\n", "x".repeat(20_000)), b"Mine\n")
    }),
    ("an escape sequence in a header of nobody's", "operator", "the header of", |site| {
        said(site, ADA, ADA, "mood \x1b[2J\n", b"Mine\n")
    }),
    ("a time with a minus sign", "operator", "badDate", |site| {
        said(site, ADA, "Ada <ada@example.org> -1 +0000", "", b"Mine\n")
    }),
    ("a time of two numbers", "operator", "badTimezone", |site| {
        said(site, ADA, "Ada <ada@example.org> 1795168800 +0000 5 +0000", "", b"Mine\n")
    }),
    ("an address with a time in it", "operator", "badTimezone", |site| {
        said(site, ADA, "Ada <ada@example.org> 5 +0000> 1795168800 +0000", "", b"Mine\n")
    }),
    ("a commit from 2090", "operator", "more than 300 s ahead", |site| {
        said(site, ADA, "Ada <ada@example.org> 3800000000 +0000", "", b"Mine\n")
    }),
    ("an author from beyond 2^34 s", "operator", "more than 300 s ahead", |site| {
        said(site, "Ada <ada@example.org> 17179869190 +0000", ADA, "", b"Mine\n")
    }),
    ("a commit from 1970", "operator", "before the commit that it stands on", |site| {
        said(site, ADA, "Ada <ada@example.org> 0 +0000", "", b"Mine\n")
    }),
    ("no author", "operator", "missing", |site| said(site, "", ADA, "", b"Mine\n")),
    ("a time that overflows", "operator", "badDateOverflow", |site| {
        said(site, "Ada <a@example.org> 99999999999999999999 +0000", ADA, "", b"Mine\n")
    }),
    ("a commit of the daemon and a good one", "operator", "as only the daemon's are", |site| {
        let tree = site.craft.repo.find_commit(good(site)).unwrap().tree_id();
        let forged = "MrX <daemon@mrx.invalid> 1795168800 +0000";
        let first = site.craft.commit_of(tree, &[site.tip], forged, forged, "", b"Mine\n");
        state(site.craft.commit(site.craft.with_file(first, &site.chat_path(), b"x: 1\n"), first))
    }),
];
