//! The files of the state folder: releases that wait, locks of endpoints, the API's token.

pub(crate) mod endpoint_lock;
pub(crate) mod journal;
pub(crate) mod token;
