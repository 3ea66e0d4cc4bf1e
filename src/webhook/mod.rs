//! Outbound webhooks: a project's events, sent to addresses that its managers name.
//!
//! - [`types`] says what a webhook's file is   - [`target`] decides which addresses may be called
//! - [`schedule`] decides when a delivery is tried again   - [`known`] is what memory has of the files
//! - [`webhooks`] makes, changes and removes   - [`place`] keeps how far each is, and its last deliveries
//! - [`deliver`] goes through the events   - [`send`] makes one call, [`names`] says where a name leads   - [`api`] is the HTTP side
//!
//! Invariant: a webhook's events are sent in the order of the project's history, each at least once until it is given up.
//! Invariant: no call goes to an address that was not checked after its name was resolved, and none follows a redirect.

pub mod api;
pub mod deliver;
pub mod known;
pub mod names;
pub mod place;
pub mod schedule;
pub mod send;
pub mod target;
pub mod types;
pub mod webhooks;

pub use webhooks::{WebhookError, Webhooks};
