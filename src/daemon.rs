//! Starts and stops every task of the daemon: the HTTP server and the watcher's rounds.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::app::{App, AppOptions, HttpOptions};
use crate::code;
use crate::config::ServeArgs;
use crate::forge::Forge;
use crate::git;
use crate::http::{routes, server};
use crate::state::layout::DataFolder;
use crate::state::recover::Recovered;

/// How often leases are looked at: a silent agent's job is given up within a second of its time.
const EXPIRY_ROUND: Duration = Duration::from_secs(1);
/// How often jobs are seen to whose needs have ended, if that was not done with the end itself.
const SETTLE_ROUND: Duration = Duration::from_secs(1);
/// How often schedules are looked at: a job is there within a second of its time.
const SCHEDULE_ROUND: Duration = Duration::from_secs(1);
/// How often repositories that nobody uses are closed.
const IDLE_ROUND: Duration = Duration::from_secs(60);
/// How often packs are folded and repositories are repacked, if that is due.
const MAINTENANCE_ROUND: Duration = Duration::from_secs(5);
/// How often epochs are ended that are due.
const EPOCHS_ROUND: Duration = Duration::from_secs(5);
/// How often branches are looked at that somebody may have moved inside their repository.
const STRAY_ROUND: Duration = Duration::from_secs(1);
/// How often a job that rebuilds an index is looked for.
const INDEX_ROUND: Duration = Duration::from_secs(1);
/// How often old days of logs are dropped.
const LOGS_ROUND: Duration = Duration::from_secs(3600);
/// How often sessions that are over are removed, and the last use of keys is written down.
const IDENTITY_ROUND: Duration = Duration::from_secs(600);
/// How often the trash is looked at.
const TRASH_ROUND: Duration = Duration::from_secs(3600);

/// How often the artifacts that projects keep no longer are removed.
const ARTIFACTS_ROUND: Duration = Duration::from_secs(3600);

/// A running daemon.
pub struct Daemon {
    /// The subjects, for callers in the same process.
    pub app: App,
    /// Where it listens.
    pub address: SocketAddr,
    /// What the start found.
    pub recovered: Recovered,
    stop: watch::Sender<bool>,
    tasks: JoinSet<()>,
}

impl Daemon {
    /// Opens the data folder and starts everything; when this returns, requests are served.
    pub async fn start(args: &ServeArgs) -> anyhow::Result<Self> {
        let folder = DataFolder::new(&args.data);
        let options = AppOptions {
            forge: Some(args.forge().context("prepare the forge")?),
            forge_poll: args.github.poll(),
            webhook_secret: args.github.webhook_secret().context("prepare the webhook")?,
            allow_private_webhooks: args.allow_private_webhooks,
            remotes: args.remotes.options(),
            journal_segment_bytes: args.journal_segment_bytes(),
            epochs: args.epochs(),
            policy: args.policy(),
            issuers: args.issuers.clone(),
            signer: args.signer().context("read the key that signs commits")?,
            http: HttpOptions {
                are_cookies_secure: args.secure_cookies,
                dashboard_origins: args.dashboard_origin.clone(),
                trusted_proxies: args.trusted_proxy.clone(),
                is_unlimited: args.no_rate_limits,
            },
            ..AppOptions::new(folder.clone())
        };
        let (app, recovered) = App::open(options).await.context("open the data folder")?;
        let listener =
            server::listen(args.listen).await.with_context(|| format!("listen on {}", args.listen))?;
        let address = listener.local_addr().context("learn the address")?;
        std::fs::write(folder.address(), format!("http://{address}\n")).context("write down the address")?;
        let mut daemon =
            Self { app, address, recovered, stop: watch::channel(false).0, tasks: JoinSet::new() };
        daemon.start_tasks(listener, args.keep_logs());
        Ok(daemon)
    }

    fn start_tasks(&mut self, listener: TcpListener, keep_logs: Duration) {
        let router = routes::router(self.app.clone());
        self.tasks.spawn(server::serve(listener, router, self.stop.subscribe()));
        self.every(
            EXPIRY_ROUND,
            |app| async move { app.jobs.expire().await.map(drop).context("expire leases") },
        );
        self.every(SETTLE_ROUND, |app| async move {
            app.jobs.settle(usize::MAX).await.context("look at jobs that need others")
        });
        self.every(SCHEDULE_ROUND, |app| async move {
            if app.is_ready() {
                app.schedules.run_due().await;
            }
            Ok(())
        });
        self.every(IDLE_ROUND, |app| async move {
            app.state.close_idle();
            app.serving.end_overdue();
            Ok(())
        });
        self.every(MAINTENANCE_ROUND, |app| async move {
            app.state.maintain().await.context("maintain repositories")
        });
        self.every(EPOCHS_ROUND, |app| async move { app.state.end_due_epochs().await.context("end epochs") });
        self.every(STRAY_ROUND, |app| async move {
            git::stray::round(&app).await.map(drop).context("look after moved branches")
        });
        self.every(IDENTITY_ROUND, |app| async move {
            app.limits.tidy();
            app.identity.tidy().await.context("tidy sessions and keys")
        });
        self.every(INDEX_ROUND, |app| async move {
            while app.is_ready() && code::rebuild::run_one(&app).await.context("rebuild an index")? {}
            Ok(())
        });
        self.every(LOGS_ROUND, move |app| async move {
            app.logs.drop_old(keep_logs).await;
            Ok(())
        });
        self.every(TRASH_ROUND, |app| async move {
            app.projects.empty_trash().await.map(drop).context("empty the trash")
        });
        let (app, stop) = (self.app.clone(), self.stop.subscribe());
        self.tasks.spawn(until_stopped(stop, async move { app.webhooks.run().await }));
        let (app, stop) = (self.app.clone(), self.stop.subscribe());
        self.tasks.spawn(until_stopped(stop, async move { app.remotes.run().await }));
        self.every(ARTIFACTS_ROUND, |app| async move {
            let found = app.artifacts.expire(app.projects.registry()).await;
            tracing::debug!(
                found.projects,
                found.entries,
                "artifacts that are kept no longer were looked for"
            );
            app.artifacts.sweep(app.projects.registry()).await.map(drop).context("sweep artifacts")
        });
        let (app, stop) = (self.app.clone(), self.stop.subscribe());
        let work = async move {
            // A forge that asks to wait must not keep the jobs of known projects from their agents.
            let (syncer, follower) = (app.syncer.clone(), app.syncer.clone());
            match syncer.forge() {
                Forge::Local(_) => {
                    syncer.try_sync().await;
                    app.read_open_jobs().await;
                }
                Forge::GitHub(_) => {
                    tokio::join!(syncer.try_sync(), app.read_open_jobs());
                }
            }
            app.secrets.reseal_all().await;
            follower.follow().await;
        };
        self.tasks.spawn(until_stopped(stop, work));
    }

    /// Does something now and then until the daemon stops; a failure is logged and the next round tries again.
    fn every<F, Fut>(&mut self, period: Duration, round: F)
    where
        F: Fn(App) -> Fut + Send + 'static,
        Fut: Future<Output = anyhow::Result<()>> + Send,
    {
        let (app, stop) = (self.app.clone(), self.stop.subscribe());
        let rounds = async move {
            let mut ticks = tokio::time::interval(period);
            ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            loop {
                ticks.tick().await;
                if let Err(error) = round(app.clone()).await {
                    tracing::error!(error = format!("{error:#}"), "a round failed");
                }
            }
        };
        self.tasks.spawn(until_stopped(stop, rounds));
    }

    /// Stops taking requests, lets those under way end, publishes everything and gives the folder up.
    pub async fn stop(mut self) {
        // Tasks that ended already do not listen, and that is no error.
        let _ = self.stop.send(true);
        while self.tasks.join_next().await.is_some() {}
        let app = self.app;
        app.webhooks.save().await;
        let closed = tokio::task::spawn_blocking(move || app.state.close()).await;
        if let Err(error) = closed {
            tracing::error!(%error, "closing failed; the journal holds what is not published");
        }
    }
}

async fn until_stopped(mut stop: watch::Receiver<bool>, work: impl Future<Output = ()>) {
    tokio::select! {
        () = work => {}
        _ = stop.wait_for(|stop| *stop) => {}
    }
}

/// Listens for Ctrl-C and SIGTERM from now on, also before it is waited for.
pub fn stop_signal() -> impl Future<Output = ()> {
    let signals = [SignalKind::interrupt(), SignalKind::terminate()].map(signal);
    async move {
        let [interrupt, terminate] = signals.map(|signal| async move {
            match signal {
                Ok(mut signal) => drop(signal.recv().await),
                Err(error) => {
                    tracing::warn!(%error, "signals to stop cannot be heard");
                    std::future::pending().await
                }
            }
        });
        tokio::select! {
            () = interrupt => {}
            () = terminate => {}
        }
    }
}
