//! Git as an interface for writing: what a push does is what the API would have done, and what it may not is refused.

use crate::world::{Clone, HELLO, World};

fn operator(world: &World) -> String {
    world.token(mrx::identity::token::OPERATOR_TOKEN)
}

fn open_job(id: &str) -> String {
    mrx::state::layout::open_job(&id.parse().unwrap())
}

#[tokio::test]
async fn an_agent_claims_a_job_by_a_push_and_ends_it_by_another() {
    let world = World::start().await;
    let job = world.queue("build").await;
    let clone = Clone::of(&world, HELLO, &world.key_of_agent("builder-1").await).await;
    clone.edit(
        &open_job(&job),
        &[("state: pending", "state: claimed"), ("claimedBy: null", "claimedBy: builder-1")],
    );
    let pushed = clone.push("I take it").await;
    assert!(pushed.ok && pushed.text.contains("pending -> claimed by builder-1"), "{}", pushed.text);
    let shown = world.admin().get(&format!("/jobs/{job}")).await.expect(200);
    assert_eq!((&shown["state"], &shown["claimedBy"]), (&"claimed".into(), &"builder-1".into()));
    clone.git(&["pull", "-q"]).await;
    assert!(clone.read(&open_job(&job)).contains("lease:"), "the daemon has added the lease");
    clone.edit(&open_job(&job), &[("state: claimed", "state: completed")]);
    let text = clone.read(&open_job(&job)) + "result:\n  answer: 42\n";
    clone.write(&open_job(&job), &text);
    let pushed = clone.push("Done").await;
    assert!(pushed.ok, "{}", pushed.text);
    let shown = world.admin().get(&format!("/jobs/{job}")).await.expect(200);
    assert_eq!((&shown["state"], &shown["result"]["answer"]), (&"completed".into(), &42.into()));
    clone.git(&["pull", "-q"]).await;
    assert!(!clone.path().join(open_job(&job)).exists(), "its file has moved to jobs/done");
    let log = clone.git(&["log", "-4", "--format=%an: %s"]).await;
    let lines: Vec<&str> = log.lines().collect();
    assert_eq!(
        lines,
        [
            format!("builder-1: job {job}: claimed -> completed by builder-1"),
            "Ada: Done".to_owned(),
            format!("builder-1: job {job}: pending -> claimed by builder-1"),
            "Ada: I take it".to_owned(),
        ]
    );
}
