//! Training as its users call it, in one program: each further one would link the network anew.

mod finetune;
mod overfit;
mod resume;
mod support;
