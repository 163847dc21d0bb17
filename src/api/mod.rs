//! (being written)

pub mod decode;
pub mod value;
pub mod yaml;
