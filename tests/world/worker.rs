//! The real agent program at work for the world's daemon, outside a sandbox.

use mrx::worker::{AgentOptions, SandboxChoice, Stop, StopSender};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::{HELLO, SOON, World};

/// An agent program that runs; it ends with this value.
pub struct Worker {
    _stop: StopSender,
    _folder: tempfile::TempDir,
    _task: JoinSet<anyhow::Result<()>>,
}

impl World {
    /// Starts one.
    pub async fn worker(&self) -> Worker {
        let folder = tempfile::tempdir().unwrap();
        let options = AgentOptions {
            daemon: self.address().to_owned(),
            token: self.key_of_agent("talker-1").await.parse().unwrap(),
            name: "talker-1".parse().unwrap(),
            labels: Vec::new(),
            work_dir: folder.path().join("work"),
            sandbox: SandboxChoice::Off,
            wait_seconds: 5,
            available_until: None,
            proxy: None,
            program: None,
        };
        let (stop, stopped) = Stop::channel();
        let mut task = JoinSet::new();
        task.spawn(mrx::worker::run(options, stopped));
        Worker { _stop: stop, _folder: folder, _task: task }
    }

    /// Stores the secret that says which model answers.
    pub async fn model(&self, base_url: &str, model: &str, key: &str) {
        let value = json!({ "baseUrl": base_url, "model": model, "apiKey": key, "maxContextTokens": 2000 });
        let body = json!({ "projectId": HELLO, "name": "llm", "value": value.to_string() });
        self.admin().post("/admin/secrets").json(&body).await.expect(201);
    }

    /// The log of a job's last attempt, as its bytes.
    pub async fn log_bytes(&self, id: &str) -> Vec<u8> {
        let mut log = Vec::new();
        loop {
            let call = self.admin().get(&format!("/jobs/{id}/logs?cursor={}", log.len()));
            let more = call.header("Accept", "application/octet-stream").await.body;
            if more.is_empty() {
                return log;
            }
            log.extend(more);
        }
    }

    /// Waits until a job's log has this text.
    pub async fn log_has(&self, id: &str, text: &str) {
        let has = async {
            while !String::from_utf8_lossy(&self.log_bytes(id).await).contains(text) {
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
        };
        let has = tokio::time::timeout(SOON * 6, has).await;
        let log = String::from_utf8_lossy(&self.log_bytes(id).await).into_owned();
        has.unwrap_or_else(|_| panic!("the log of {id} never had {text:?}: {log}"));
    }

    /// Waits until a job has ended.
    pub async fn ended(&self, id: &str) -> Value {
        let ended = async {
            loop {
                let job = self.job(id).await;
                if !job["endedAt"].is_null() {
                    return job;
                }
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(SOON * 6, ended).await.expect("the job ends")
    }
}
