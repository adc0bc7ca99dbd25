//! Parity with the oracle on the tiny network, and between runtimes on odd ones.

mod odd;
mod tiny;
