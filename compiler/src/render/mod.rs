//! A plan for people and for machines.

pub mod json;
