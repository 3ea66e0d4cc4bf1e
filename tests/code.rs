//! Stories of the project's code: its files page by page, and the job that reads artifacts and code anew.

use serde_json::{Value, json};

use crate::world::{HELLO, World};

const FILES: &str = "/projects/mrx-hello/files";

/// Commits these files to a branch of the code, as somebody who pushes; gives the commit.
pub fn push(world: &World, branch: &str, files: &[(&str, &str)]) -> String {
    let repo = git2::Repository::open_bare(world.code_of(HELLO)).unwrap();
    let name = format!("refs/heads/{branch}");
    let parent = repo.find_reference(&name).ok().map(|reference| reference.peel_to_commit().unwrap());
    let base = match &parent {
        Some(parent) => parent.tree().unwrap(),
        None => repo.find_tree(repo.treebuilder(None).unwrap().write().unwrap()).unwrap(),
    };
    let mut builder = git2::build::TreeUpdateBuilder::new();
    for (path, text) in files {
        let blob = repo.odb().unwrap().write(git2::ObjectType::Blob, text.as_bytes()).unwrap();
        builder.upsert(*path, blob, git2::FileMode::Blob);
    }
    let tree = repo.find_tree(builder.create_updated(&repo, &base).unwrap()).unwrap();
    let person = git2::Signature::now("anna", "anna@example.org").unwrap();
    #[expect(clippy::disallowed_methods, reason = "a person pushes code")]
    let commit =
        repo.commit(Some(&name), &person, &person, "code", &tree, &parent.iter().collect::<Vec<_>>());
    commit.unwrap().to_string()
}

fn paths(page: &Value) -> Vec<String> {
    page["files"].as_array().unwrap().iter().map(|f| f["path"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn files_are_paged_as_they_were_at_the_first_page() {
    let world = World::start().await;
    let commit = push(&world, "main", &[("a.rs", "fn a() {}"), ("docs/b.md", "# b"), ("z", "")]);
    let first = world.any_agent().get(&format!("{FILES}?limit=2")).await.expect(200);
    assert_eq!((&first["commit"], &first["count"]), (&json!(commit), &json!(3)));
    let blob = git2::Oid::hash_object(git2::ObjectType::Blob, b"fn a() {}").unwrap().to_string();
    let file = json!({ "path": "a.rs", "size": 9, "language": "rust", "blobId": blob });
    assert_eq!(first["files"][0], file);
    push(&world, "main", &[("0-first.py", "")]);
    let cursor = first["nextCursor"].as_str().unwrap();
    let second = world.admin().get(&format!("{FILES}?limit=2&cursor={cursor}")).await.expect(200);
    assert_eq!((paths(&second), &second["nextCursor"]), (vec!["z".to_owned()], &Value::Null));
    assert_eq!(second["files"][0]["language"], Value::Null);
    let now = world.admin().get(FILES).await.expect(200);
    assert_eq!(paths(&now), ["0-first.py", "a.rs", "docs/b.md", "z"]);
    let past = world.admin().get(&format!("{FILES}?ref={commit}")).await.expect(200);
    assert_eq!(past["count"], 3);
}

#[tokio::test]
async fn a_ref_is_a_branch_a_tag_or_a_commit_and_never_an_expression() {
    let world = World::start().await;
    push(&world, "feature/x", &[("x", "")]);
    push(&world, "main", &[("a", "")]);
    assert_eq!(paths(&world.admin().get(&format!("{FILES}?ref=feature/x")).await.expect(200)), ["x"]);
    for bad in ["none", "main~1", "HEAD", "main%5E%7Btree%7D", "..%2Fx", "@%7B1%7D", "", &"0".repeat(40)] {
        let answer = world.admin().get(&format!("{FILES}?ref={bad}")).await;
        assert_eq!(answer.refused(404), "refUnknown", "{bad}");
    }
    for bad in ["x", "0.0", &format!("{}.0", "1".repeat(40))] {
        let answer = world.admin().get(&format!("{FILES}?cursor={bad}")).await;
        assert_eq!(answer.refused(400), "badRequest", "{bad}");
    }
}

#[tokio::test]
async fn a_rebuild_flags_what_is_missing_and_what_is_corrupt_and_counts_the_files() {
    let world = World::start().await;
    let commit = push(&world, "main", &[("a", "1"), ("b", "2")]);
    let mut ids = Vec::new();
    let mut sums = Vec::new();
    for name in ["good", "gone", "bad"] {
        let path = format!("/projects/mrx-hello/artifacts?name={name}");
        let stored = world.admin().post(&path).body(name.to_owned()).await.expect(201);
        ids.push(stored["artifactId"].clone());
        sums.push(stored["sha256"].as_str().unwrap().to_owned());
    }
    let store = world.app().state.folder().artifacts();
    std::fs::remove_file(store.join(&sums[1])).unwrap();
    std::fs::write(store.join(&sums[2]), "other").unwrap();
    let job = world.queue("index-rebuild").await;
    assert!(mrx::code::rebuild::run_one(world.app()).await.unwrap());
    assert!(!mrx::code::rebuild::run_one(world.app()).await.unwrap());
    let ended = world.job(&job).await;
    assert_eq!((&ended["state"], &ended["claimedBy"]), (&json!("completed"), &json!("daemon")));
    let wanted = json!({
        "artifacts": { "checked": 3, "missing": 1, "corrupt": 1 },
        "missing": [ids[1]], "corrupt": [ids[2]], "files": { "commit": commit, "count": 2 },
    });
    assert_eq!(ended["result"], wanted);
}
