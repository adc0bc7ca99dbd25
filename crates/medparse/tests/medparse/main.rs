//! The library as its users call it, in one program: each further one would link the network anew.

mod common;
mod hub;
mod model;
mod postprocess;
mod preprocess;
mod recognition;
mod tokenizer;
