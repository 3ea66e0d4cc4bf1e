//! Stories: a healthy folder is all well, and each planted fault is named.

use super::*;
use crate::app::{App, AppOptions};
use crate::bench::seed;
use crate::identity::token::{OPERATOR_TOKEN, read_or_make};
use crate::state::oid::Oid;

/// A data folder that a daemon used and gave up, with three jobs.
async fn used_folder() -> (tempfile::TempDir, DataFolder) {
    let folder = tempfile::tempdir().unwrap();
    let (app, project) = seed::open(folder.path()).await.unwrap();
    seed::pending(&app, &project, 3).await.unwrap();
    app.state.close();
    drop(app);
    let data = DataFolder::new(folder.path());
    read_or_make(&data.keys(), OPERATOR_TOKEN).unwrap();
    (folder, data)
}

fn project() -> RepoName {
    RepoName::Project("mrx-bench".parse().unwrap())
}

/// What is worse than `Ok`, besides what the test's machine says of itself.
fn complaints(folder: &DataFolder) -> Vec<String> {
    let found = examine(folder);
    let of_folder = found.iter().skip(2).filter(|finding| !finding.text.contains("free on the disk"));
    of_folder.filter(|finding| finding.level != Level::Ok).map(Finding::to_string).collect()
}

fn only(folder: &DataFolder, words: &[&str]) {
    let found = complaints(folder);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(words.iter().all(|word| found[0].contains(word)), "{found:?}");
}

#[tokio::test]
async fn a_folder_in_order_is_all_ok_also_beside_a_daemon() {
    let (_folder, data) = used_folder().await;
    assert_eq!(complaints(&data), Vec::<String>::new());
    let (app, _) = App::open(AppOptions::new(data.clone())).await.unwrap();
    let found = examine(&data);
    assert_eq!(complaints(&data), Vec::<String>::new());
    let says = |words: &str| found.iter().any(|finding| finding.text.contains(words));
    assert!(says(&format!("a daemon is running on the folder: process {}", std::process::id())), "{found:?}");
    assert!(says("journal: not read"));
    app.state.close();
}

#[tokio::test]
async fn a_key_that_others_can_read_is_named() {
    let (_folder, data) = used_folder().await;
    let token = data.keys().join("admin.token");
    fs::set_permissions(&token, fs::Permissions::from_mode(0o644)).unwrap();
    only(&data, &["fail", "admin.token", "0644", "chmod 600"]);
}

#[tokio::test]
async fn a_damaged_journal_is_named_and_left_as_it_is() {
    let (_folder, data) = used_folder().await;
    let is_written = |path: &PathBuf| fs::read(path).unwrap()[4096..4160] != [0; 64];
    let mut segments = fs::read_dir(data.journal()).unwrap().flatten().map(|entry| entry.path());
    let segment = segments.find(is_written).unwrap();
    let file = fs::OpenOptions::new().write(true).open(&segment).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, &[0xEE; 64], 4096).unwrap();
    let before = fs::read(&segment).unwrap();
    only(&data, &["fail  journal: "]);
    assert_eq!(fs::read(&segment).unwrap(), before);
}

#[tokio::test]
async fn a_lost_pack_is_named() {
    let (_folder, data) = used_folder().await;
    let repo = data.repo(&RepoName::Platform);
    let pack = packs::list(&repo).unwrap().remove(0);
    fs::remove_file(packs::folder(&repo).join(format!("{}.idx", pack.name))).unwrap();
    let found = complaints(&data);
    assert!(
        found.iter().any(|text| text.starts_with("fail  platform: exit") && text.contains("backup")),
        "{found:?}"
    );
}

#[tokio::test]
async fn many_packs_rejected_refs_and_invalid_jobs_are_named() {
    let (_folder, data) = used_folder().await;
    let path = data.repo(&project());
    let repo = git2::Repository::open_bare(&path).unwrap();
    let tip: Oid = repo.refname_to_id(STATE_REF).unwrap().into();
    crate::state::refs::swap(&crate::state::disk::RealDisk, &path, "refs/rejected/17-abc", Oid::ZERO, tip)
        .unwrap();
    only(&data, &["warn", "projects/mrx-bench", "refs/rejected/17-abc", "update-ref -d"]);
    fs::remove_file(path.join("refs/rejected/17-abc")).unwrap();

    let pack = packs::list(&path).unwrap().remove(0);
    for number in 0..60 {
        for ending in ["pack", "idx"] {
            let from = packs::folder(&path).join(format!("{}.{ending}", pack.name));
            fs::copy(&from, packs::folder(&path).join(format!("pack-{number:040x}.{ending}"))).unwrap();
        }
    }
    let found = complaints(&data);
    assert!(found[0].contains("more than 50") && found.len() == 1, "{found:?}");
}

/// What is said of the epochs of the project.
fn said_of_epochs(folder: &DataFolder) -> String {
    let found = examine(folder).into_iter().map(|finding| finding.to_string());
    let found: Vec<String> =
        found.filter(|text| text.contains("projects/mrx-bench") && text.contains("epoch")).collect();
    assert_eq!(found.len(), 1, "{found:?}");
    found[0].clone()
}

#[tokio::test]
async fn epochs_are_told_and_one_that_does_not_lead_to_the_one_before_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let (app, bench) = seed::open(folder.path()).await.unwrap();
    let data = DataFolder::new(folder.path());
    let before = said_of_epochs(&data);
    assert!(before.starts_with("ok    projects/mrx-bench: epoch 1 since 20"), "{before}");
    assert!(before.ends_with(", 1 commits"), "{before}");
    let mut kept = Vec::new();
    for _ in 0..2 {
        seed::pending(&app, &bench, 3).await.unwrap();
        kept.push(app.state.end_epoch(&project()).await.unwrap().unwrap());
    }
    app.state.close();
    drop(app);
    let told = said_of_epochs(&data);
    assert!(told.starts_with("ok    projects/mrx-bench: epoch 3 since 20"), "{told}");
    assert!(told.contains("1 commits; 2 before it are kept under refs/archive/"), "{told}");

    let path = data.repo(&project());
    let (first, second) = (path.join(&kept[0]), path.join(&kept[1]));
    let (first_tip, second_tip) = (fs::read_to_string(&first).unwrap(), fs::read_to_string(&second).unwrap());
    fs::write(&second, &first_tip).unwrap();
    let told = said_of_epochs(&data);
    assert!(told.starts_with("fail") && told.contains(&format!("{} is at {}", kept[1], first_tip.trim())));
    assert!(told.contains(&format!("update-ref {} {}", kept[1], second_tip.trim())), "{told}");
    fs::write(&second, &second_tip).unwrap();
    fs::remove_file(&first).unwrap();
    let told = said_of_epochs(&data);
    assert!(told.starts_with("fail") && told.contains(&format!("nothing keeps {}", first_tip.trim())));
    assert!(told.contains(&format!("update-ref {} {}", kept[0], first_tip.trim())), "{told}");
}

#[tokio::test]
async fn a_history_whose_archive_was_not_copied_is_told_and_no_fault() {
    let folder = tempfile::tempdir().unwrap();
    let (app, bench) = seed::open(folder.path()).await.unwrap();
    seed::pending(&app, &bench, 3).await.unwrap();
    let kept = app.state.end_epoch(&project()).await.unwrap().unwrap();
    app.state.close();
    drop(app);
    let (data, copies) = (DataFolder::new(folder.path()), tempfile::tempdir().unwrap());
    let (path, copy) = (data.repo(&project()), copies.path().join("copy"));
    let from = format!("file://{}", path.display());
    let arguments = ["clone", "-q", "--bare", "--single-branch", "--branch", "state", &from];
    Program::other("git", copies.path()).args(arguments).args(["copy"]).run().unwrap();
    fs::remove_dir_all(&path).unwrap();
    fs::rename(&copy, &path).unwrap();
    let told = said_of_epochs(&data);
    assert!(told.starts_with("warn") && told.contains(&format!("fetch {kept} from a backup")), "{told}");
}

#[tokio::test]
async fn a_job_file_that_is_none_is_named() {
    let (_folder, data) = used_folder().await;
    let repo = git2::Repository::open_bare(data.repo(&project())).unwrap();
    let blob = repo.odb().unwrap().write(git2::ObjectType::Blob, b"state: odd\n").unwrap();
    let tip = repo.find_reference(STATE_REF).unwrap().peel_to_commit().unwrap();
    let path = "jobs/open/0/7/k/job-01jd000000000000000000007k.yaml";
    let mut update = git2::build::TreeUpdateBuilder::new();
    let tree =
        update.upsert(path, blob, git2::FileMode::Blob).create_updated(&repo, &tip.tree().unwrap()).unwrap();
    let (tree, who) = (repo.find_tree(tree).unwrap(), git2::Signature::now("a", "a@mrx.invalid").unwrap());
    let text = repo.commit_create_buffer(&who, &who, "by hand\n", &tree, &[&tip]).unwrap();
    let commit = repo.odb().unwrap().write(git2::ObjectType::Commit, &text).unwrap();
    fs::write(data.repo(&project()).join(STATE_REF), format!("{commit}\n")).unwrap();
    only(&data, &["warn", "1 files of open jobs", "job-01jd000000000000000000007k", "commit on `state`"]);
}

#[test]
fn a_folder_that_is_not_there_is_named() {
    let found = examine(&DataFolder::new("/nowhere/mrx"));
    assert!(
        found.last().unwrap().to_string().starts_with("fail  there is no folder /nowhere/mrx"),
        "{found:?}"
    );
}

#[test]
fn the_version_of_git_is_read_as_every_vendor_writes_it() {
    assert_eq!(git_version("git version 2.47.3"), Some((2, 47)));
    assert_eq!(git_version("git version 2.39.5 (Apple Git-154)"), Some((2, 39)));
    assert_eq!(git_version("git version 3.0-rc1"), None);
    assert_eq!(git_version("hub version 2"), None);
}
