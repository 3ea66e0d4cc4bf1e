//! An agent at work, in the words of the protocol.

use serde_json::{Value, json};

use super::{Answer, Call, Caller, World};

/// An agent of a name.
#[derive(Clone)]
pub struct AgentAtWork<'w> {
    caller: Caller<'w>,
    pub name: String,
}

/// A job that an agent holds.
#[derive(Clone, Debug)]
pub struct Held {
    pub id: String,
    pub lease: String,
    pub job: Value,
    pub code: Value,
}

impl<'w> AgentAtWork<'w> {
    pub fn new(world: &'w World, name: &str) -> Self {
        Self { caller: Caller::of_agent(world, name), name: name.to_owned() }
    }

    /// Claims a job that must be there.
    pub async fn claim(&self) -> Held {
        self.claim_with(json!({})).await.expect("there is a job")
    }

    /// Claims with these fields besides the name; `None` if no job came.
    pub async fn claim_with(&self, body: Value) -> Option<Held> {
        held(&self.claim_call(body).await)
    }

    /// A claim with these fields besides the name, to be sent.
    pub fn claim_call(&self, mut body: Value) -> Call {
        body["agentId"] = self.name.clone().into();
        self.caller.post("/jobs/claim").json(&body)
    }

    /// Reports on a held job.
    pub async fn say(&self, held: &Held, body: Value) -> Answer {
        self.say_call(held).json(&body).await
    }

    /// A report on a held job, to be sent.
    pub fn say_call(&self, held: &Held) -> Call {
        self.caller.patch(&format!("/jobs/{}", held.id)).header("Job-Lease", &held.lease)
    }

    /// Appends to the job's log from this byte on.
    pub async fn write_log(&self, held: &Held, first: usize, bytes: &[u8]) -> Answer {
        let range = format!("bytes {first}-{}/*", first + bytes.len() - 1);
        let call = self.caller.patch(&format!("/jobs/{}/logs", held.id)).header("Job-Lease", &held.lease);
        call.header("Content-Range", &range).body(bytes.to_vec()).await
    }

    /// Uploads a file that the job made.
    pub async fn upload(&self, held: &Held, name: &str, bytes: &[u8]) -> Answer {
        self.upload_call(held, name).body(bytes.to_vec()).await
    }

    /// An upload, to be sent.
    pub fn upload_call(&self, held: &Held, name: &str) -> Call {
        let project = held.job["projectId"].as_str().unwrap();
        let path = format!("/projects/{project}/artifacts?name={name}&jobId={}", held.id);
        self.caller.post(&path).header("Job-Lease", &held.lease)
    }
}

/// The job of an answered claim.
pub fn held(answer: &Answer) -> Option<Held> {
    if answer.status == 204 {
        return None;
    }
    let body = answer.expect(200);
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    Some(Held {
        id: text(&body["job"]["jobId"]),
        lease: text(&body["lease"]["id"]),
        job: body["job"].clone(),
        code: body["code"].clone(),
    })
}
