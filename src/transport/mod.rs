//! How an effect reaches the world, and how the world is read: SSH, PostgreSQL, S3, the Hetzner Cloud; one module a
//! protocol.
//!
//! Invariant: everything here has a deadline and bounded memory, and says what is known when it fails. What may be
//! asked of it, and by whom, is [`crate::access`]'s business; nothing here decides whether to act.

mod cause;
pub mod faulty;
pub mod hcloud;
pub mod postgres;
pub mod s3;
pub mod ssh;
