//! One-time secrets and kills: of any number of redeemers, before and after a SIGKILL, one wins at most.

use std::time::Duration;

use futures_util::future::join_all;
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::daemon::{Api, PROJECTS, Site, answer, text};
use crate::world::Chance;

const RACERS: usize = 32;
const CYCLES: u64 = 6;

/// What came of one try: `None` if the connection was cut and nobody knows.
async fn redeem(api: Api, secret: String) -> Option<StatusCode> {
    let body = json!({ "colabId": "colab-1", "claimSecret": secret });
    answer(api.stranger_post("/jobs/claim").json(&body)).await.map(|(status, _)| status)
}

async fn race(api: &Api, secret: &str) -> Vec<Option<StatusCode>> {
    join_all((0..RACERS).map(|_| redeem(api.clone(), secret.to_owned()))).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_racing_redeemers_of_one_secret_one_wins_also_across_kills() {
    let site = Site::new();
    let mut random = Chance::announced("redeem");
    for cycle in 0..CYCLES {
        let daemon = site.start().await;
        let api = daemon.api.clone();
        api.create(PROJECTS[0], &format!("redeem-{cycle}")).await.unwrap();
        let body = json!({ "colabId": "colab-1" });
        let (_, issued): (_, Value) =
            answer(api.admin_post("/agents/claim-secret").json(&body)).await.unwrap();
        let secret = text(&issued, "/claimSecret");
        let racing = tokio::spawn({
            let (api, secret) = (api.clone(), secret.clone());
            async move { race(&api, &secret).await }
        });
        tokio::time::sleep(Duration::from_micros(random.below(12_000))).await;
        daemon.kill();
        let before = racing.await.unwrap();
        let daemon = site.start().await;
        let after = race(&daemon.api, &secret).await;
        let all: Vec<_> = before.iter().chain(&after).collect();
        let winners = all.iter().filter(|status| ***status == Some(StatusCode::OK)).count();
        let cut = all.iter().filter(|status| status.is_none()).count();
        assert!(winners <= 1, "cycle {cycle}: {winners} won: {all:?}");
        assert!(winners == 1 || cut > 0, "cycle {cycle}: nobody won, and every answer was heard");
        assert!(after.iter().flatten().all(|status| matches!(status.as_u16(), 200 | 403)), "{after:?}");
    }
}
