//! The three stores: a lock file, an embedded database, etcd.

pub mod embedded;
pub mod etcd;
pub mod lock_file;
