//! Applies plans to MidoNet.
