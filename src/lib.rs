//! MrX: a daemon that keeps a team's projects, jobs, logs and artifacts as commits in git.
//!
//! - [`state`] is the engine: every change is one commit, durable before the answer
//! - [`project`], [`job`], [`schedule`], [`log`], [`artifact`], [`chat`], [`agent`], [`secret`] are the subjects, a folder each   - [`forge`] is where projects come from
//! - [`entity`] is the table of what files hold   - [`history`] is the past
//! - [`http`] is the table of routes   - [`app`] holds the subjects together   - [`daemon`] starts and stops every task
//! - [`git`] runs git as a program   - [`mask`] holds secret values
//! - [`ui`] is the dashboard's files, which talk to the daemon only by HTTP
//! - [`worker`] is the agent program, which talks to the daemon only by HTTP
//! - [`cli`] is the program as a client, which talks to a server only by HTTP
//! - [`config`] is every setting   - [`clock`] is the time   - [`id`] is names and ids   - [`schema`] describes types to others
//! - [`remote`] is a branch elsewhere that a project's state is pushed to, and that is merged back
//! - [`backup`] saves the platform as bundles, and restores it
//! - [`mod@bench`], [`demo`], [`doctor`] are what the command line offers besides

pub mod admin;
pub mod agent;
pub mod app;
pub mod artifact;
pub mod backup;
pub mod bench;
pub mod chat;
pub mod cli;
pub mod clock;
pub mod code;
pub mod config;
pub mod daemon;
pub mod demo;
pub mod doctor;
pub mod entity;
pub mod forge;
pub mod git;
pub mod history;
pub mod http;
pub mod id;
pub mod identity;
pub mod job;
pub mod key_file;
pub mod log;
pub mod mask;
pub mod project;
pub mod remote;
pub mod schedule;
pub mod schema;
pub mod secret;
pub mod state;
pub mod ui;
pub mod webhook;
pub mod worker;
