//! What survives: kills, failing and full disks, power cuts, damage, and many agents at once.
//!
//! - [`crash`] kills a daemon under load   - [`history_check`] checks what agents saw across kills
//! - [`fault`] fails each call to the disk, and cuts the power   - [`damage`] harms what lies on the disk
//! - [`backup`] destroys the data folder and brings it back
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
mod crash;
mod daemon;
mod damage;
mod disk;
mod fault;
mod full_disk;
mod history_check;
mod redeem;
mod world;
