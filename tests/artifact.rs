//! Artifacts: bytes by their sum, entries in git, and nothing of what did not arrive.

use futures_util::stream;
use serde_json::json;

use crate::world::{AgentAtWork, HELLO, Held, World, seconds};

async fn at_work(world: &World) -> (AgentAtWork<'_>, Held) {
    world.queue("build").await;
    let builder = world.agent("builder-1");
    let held = builder.claim().await;
    (builder, held)
}

const HELLO_SUM: &str = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";

#[tokio::test]
async fn an_artifact_is_known_by_its_sum_and_read_whole_or_in_part() {
    let world = World::start().await;
    let (builder, held) = at_work(&world).await;
    let entry = builder.upload(&held, "hello.txt", b"hello").await.expect(201);
    assert_eq!((entry["sha256"].as_str(), entry["size"].as_u64()), (Some(HELLO_SUM), Some(5)));
    assert_eq!((&entry["name"], &entry["jobId"]), (&json!("hello.txt"), &json!(held.id)));
    let path = format!("/projects/{HELLO}/artifacts/{}", entry["artifactId"].as_str().unwrap());
    assert_eq!(world.any_agent().get(&path).await.expect(200), entry);
    let content = || world.any_agent().get(&format!("{path}/content"));
    let whole = content().await;
    assert_eq!((whole.status, whole.body.as_slice()), (200, b"hello".as_slice()));
    assert_eq!(
        (whole.header("etag"), whole.header("accept-ranges")),
        (format!("\"{HELLO_SUM}\"").as_str(), "bytes")
    );
    assert_eq!(whole.header("content-disposition"), "attachment; filename=\"hello.txt\"");
    let part = content().header("Range", "bytes=1-3").await;
    assert_eq!(
        (part.status, part.body.as_slice(), part.header("content-range")),
        (206, b"ell".as_slice(), "bytes 1-3/5")
    );
    assert_eq!(content().header("Range", "bytes=5-").await.refused(416), "rangeNotSatisfiable");
    assert_eq!(content().header("If-None-Match", whole.header("etag")).await.status, 304);
}

#[tokio::test]
async fn the_same_upload_again_gives_the_entry_that_stands() {
    let mut world = World::start().await;
    let (first, held) = {
        let (builder, held) = at_work(&world).await;
        (builder.upload(&held, "a%20b.txt", b"hello").await.expect(201), held)
    };
    let tip = world.tip(HELLO).await;
    for _ in 0..2 {
        let builder = world.agent("builder-1");
        assert_eq!(builder.upload(&held, "a%20b.txt", b"hello").await.expect(200), first);
        assert_eq!(world.tip(HELLO).await, tip);
        world.clock.pass(seconds(1));
        world.restart().await;
    }
    let builder = world.agent("builder-1");
    let other_bytes = builder.upload(&held, "a%20b.txt", b"hello!").await.expect(201);
    let other_name = builder.upload(&held, "a%2520b.txt", b"hello").await.expect(201);
    assert_eq!(other_name["name"], "a%20b.txt");
    let list = world.admin().get(&format!("/projects/{HELLO}/artifacts")).await.expect(200);
    assert_eq!(list["artifacts"], json!([other_name, other_bytes, first]), "the newest first");
}

#[tokio::test]
async fn artifacts_are_listed_page_by_page() {
    let world = World::start().await;
    let (builder, held) = at_work(&world).await;
    for number in 0..5 {
        builder.upload(&held, &format!("{number}.txt"), b"x").await.expect(201);
    }
    let (mut names, mut cursor) = (Vec::new(), String::new());
    loop {
        let page =
            world.admin().get(&format!("/projects/{HELLO}/artifacts?limit=2{cursor}")).await.expect(200);
        names.extend(
            page["artifacts"]
                .as_array()
                .unwrap()
                .iter()
                .map(|entry| entry["name"].as_str().unwrap().to_owned()),
        );
        let Some(next) = page["nextCursor"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    assert_eq!(names, ["4.txt", "3.txt", "2.txt", "1.txt", "0.txt"]);
}

#[tokio::test]
async fn a_name_that_is_no_file_name_is_refused() {
    let world = World::start().await;
    let (builder, held) = at_work(&world).await;
    let tip = world.tip(HELLO).await;
    for name in
        ["", ".", "..", "a%2Fb", "..%2F..%2Fetc", "a%5Cb", "a%0Ab", "a%00b", "%1b%5B2J", &"a".repeat(201)]
    {
        assert_eq!(builder.upload(&held, name, b"x").await.refused(400), "badRequest", "{name}");
    }
    assert_eq!((world.tip(HELLO).await, world.artifact_files()), (tip, 0));
}

#[tokio::test]
async fn an_agent_uploads_only_for_a_job_that_it_holds() {
    let world = World::start().await;
    world.project("mrx-b").await;
    let (builder, held) = at_work(&world).await;
    let upload = |path: String| world.any_agent().post(&path).body("x");
    let project = format!("/projects/{HELLO}/artifacts?name=x");
    assert_eq!(upload(project.clone()).await.refused(400), "badRequest", "no job");
    assert_eq!(upload(format!("{project}&jobId={}", held.id)).await.refused(400), "badRequest", "no lease");
    let other = Held { lease: "lease-01jd0000000000000000000000".to_owned(), ..held.clone() };
    assert_eq!(builder.upload(&other, "x", b"x").await.refused(409), "jobLeaseStale");
    let elsewhere = upload(format!("/projects/mrx-b/artifacts?name=x&jobId={}", held.id))
        .header("Job-Lease", &held.lease);
    assert_eq!(elsewhere.await.refused(404), "jobUnknown");
    let nowhere = upload(format!("/projects/mrx-none/artifacts?name=x&jobId={}", held.id))
        .header("Job-Lease", &held.lease);
    assert_eq!(nowhere.await.refused(404), "projectUnknown");
    assert_eq!(world.artifact_files(), 0);
    let by_admin = world.admin().post(&project).body("x").await;
    assert_eq!(by_admin.expect(201)["jobId"], json!(null));
}

#[tokio::test]
async fn an_upload_whose_lease_ends_meanwhile_makes_no_entry() {
    let world = World::start().await;
    let (builder, held) = at_work(&world).await;
    let (send, body) = tokio::sync::mpsc::channel::<Result<Vec<u8>, std::io::Error>>(1);
    let stream = stream::unfold(body, |mut body| async move { body.recv().await.map(|chunk| (chunk, body)) });
    let upload = builder.upload_call(&held, "late.txt").body(reqwest::Body::wrap_stream(stream));
    let meanwhile = async {
        send.send(Ok(b"la".to_vec())).await.unwrap();
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        world.pass(seconds(90)).await;
        send.send(Ok(b"te".to_vec())).await.unwrap();
        drop(send);
    };
    let (answer, ()) = tokio::join!(upload.into_future(), meanwhile);
    assert_eq!(answer.refused(409), "jobLeaseStale");
    let list = world.admin().get(&format!("/projects/{HELLO}/artifacts")).await.expect(200);
    assert_eq!(list["artifacts"], json!([]));
}

#[tokio::test]
async fn an_upload_that_breaks_off_leaves_nothing() {
    let world = World::start().await;
    let (builder, held) = at_work(&world).await;
    let tip = world.tip(HELLO).await;
    let chunks = vec![Ok(vec![b'x'; 70_000]), Err(std::io::Error::other("the cable is cut"))];
    let upload =
        builder.upload_call(&held, "half.txt").body(reqwest::Body::wrap_stream(stream::iter(chunks)));
    assert!(upload.try_open().await.is_err());
    for _ in 0..200 {
        if world.artifact_files() == 0 {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    assert_eq!((world.artifact_files(), world.tip(HELLO).await), (0, tip));
}

fn elsewhere() -> serde_json::Value {
    json!({
        "artifactId": "apk-17",
        "drivePath": "MrX/hello/app release.apk",
        "sha256": HELLO_SUM,
        "uploadedAt": "2026-11-20T09:59:00.000Z",
    })
}

#[tokio::test]
async fn an_agent_tells_of_bytes_that_are_on_another_drive() {
    let world = World::start().await;
    let (_, held) = at_work(&world).await;
    let path = format!("/projects/{HELLO}/artifacts");
    let post = |path: &str, body: &serde_json::Value| {
        world.as_agent("builder-1").post(path).header("Job-Lease", &held.lease).json(body)
    };
    let with_job = format!("{path}?jobId={}", held.id);
    let entry = post(&with_job, &elsewhere()).await.expect(201);
    assert_eq!(entry["name"], "app release.apk", "the last part of the path");
    assert_eq!((&entry["size"], &entry["jobId"]), (&json!(null), &json!(held.id)));
    assert_eq!(entry["uploadedAt"], "2026-11-20T09:59:00.000Z");
    assert!(entry["artifactId"].as_str().unwrap().starts_with("art-"), "ids are given here");
    let mut by_body = elsewhere();
    by_body["jobId"] = json!(held.id);
    assert_eq!(post(&path, &by_body).await.expect(200), entry, "the same again");
    by_body["drivePath"] = json!("other/app release.apk");
    post(&path, &by_body).await.expect(201);
    let own = format!("{path}/{}", entry["artifactId"].as_str().unwrap());
    let refusal = world.admin().get(&format!("{own}/content")).await;
    assert_eq!(refusal.refused(404), "artifactElsewhere");
    assert_eq!(refusal.json()["details"]["drivePath"], "MrX/hello/app release.apk");
    assert_eq!(world.artifact_files(), 0);
    let log = world.log_of(HELLO).await;
    let line = format!(
        "builder-1: artifact {}: app release.apk is elsewhere",
        entry["artifactId"].as_str().unwrap()
    );
    assert!(log.contains(&line), "{log:?}");
}

#[tokio::test]
async fn an_entry_that_says_nonsense_is_refused_and_nothing_changes() {
    let world = World::start().await;
    let (_, held) = at_work(&world).await;
    let path = format!("/projects/{HELLO}/artifacts");
    let tip = world.tip(HELLO).await;
    for (field, value) in [
        ("sha256", json!("abc")),
        ("sha256", json!(HELLO_SUM.to_uppercase())),
        ("drivePath", json!("")),
        ("drivePath", json!("a/")),
        ("drivePath", json!("a\nMrx-Event: x")),
        ("drivePath", json!("x".repeat(1025))),
        ("size", json!(-1)),
        ("uploadedAt", json!("2026-11-20T10:06:00.000Z")),
        ("buildNumber", json!("")),
        ("name", json!("../x")),
        ("url", json!("http://example.org")),
    ] {
        let mut body = elsewhere();
        body[field] = value.clone();
        assert_eq!(world.admin().post(&path).json(&body).await.refused(400), "badRequest", "{field} {value}");
    }
    let mut large = elsewhere();
    large["artifactId"] = json!("x".repeat(70_000));
    assert_eq!(world.admin().post(&path).json(&large).await.refused(413), "tooLarge");
    let other = json!({ "drivePath": "x", "sha256": HELLO_SUM, "jobId": held.id, "buildNumber": "1" });
    let both = world.admin().post(&format!("{path}?buildNumber=2")).json(&other).await;
    assert_eq!(both.refused(400), "badRequest");
    assert_eq!(
        world.admin().post(&path).body("x").await.refused(400),
        "badRequest",
        "neither a name nor JSON"
    );
    let agent = world.as_agent("builder-1").post(&path).json(&elsewhere()).await;
    assert_eq!(agent.refused(400), "badRequest", "no job");
    let no_lease = world.as_agent("builder-1").post(&path).json(&other).await;
    assert_eq!(no_lease.refused(400), "badRequest");
    assert_eq!(world.tip(HELLO).await, tip);
    let json_file = world.admin().post(&format!("{path}?name=a.json")).json(&elsewhere()).await.expect(201);
    assert_eq!(json_file["drivePath"], json!(null), "with a name in the query the body is the file");
}
