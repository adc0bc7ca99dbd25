//! The `medparse` command.

fn main() {}
