//! What survives: kills, failing and full disks, power cuts, damage, and many agents at once.
//!
//! - [`crash`] kills a daemon under load   - [`history_check`] checks what agents saw across kills
//! - [`fault`] fails each call to the disk, and cuts the power   - [`damage`] harms what lies on the disk
//! - [`backup`] destroys the data folder and brings it back
//! - [`push_bombs`] pushes what means much and is small
//! - [`push_crash`] kills a daemon while git pushes and others call
//! - [`remote_crash`] kills a daemon while it brings in what a remote has
//! - [`redeem`] kills a daemon while one-time secrets are redeemed
//! - [`full_disk`] fills it   - [`daemon`], [`disk`] and [`world`] are what they work with
//!
//! Every random choice follows from a seed that is printed; `MRX_SEED` sets it.
#![expect(
    clippy::unwrap_used,
    reason = "in a test a broken expectation is a failure, and its place tells most"
)]
#![expect(
    clippy::disallowed_methods,
    reason = "these tests start daemons and git, and move refs behind a daemon's back"
)]

mod backup;
#[expect(dead_code, reason = "the stories of hostile pushes use all of it")]
#[path = "../hostile_push/bombs.rs"]
mod bombs;
#[expect(dead_code, reason = "the stories of hostile pushes use all of it")]
#[path = "../hostile_push/craft.rs"]
mod craft;
mod crash;
mod daemon;
mod damage;
mod disk;
mod fault;
mod full_disk;
mod history_check;
mod push_bombs;
mod push_crash;
mod redeem;
mod remote_crash;
mod world;
