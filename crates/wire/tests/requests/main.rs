//! Every tolerance and every refusal of the request side, as tables of cases.

mod infer;
mod invocations;
mod score;

use medparse_wire::ScoreInput;

fn prompts(input: &ScoreInput<'_>) -> Vec<Vec<String>> {
    input.rows.iter().map(|row| row.prompts.clone()).collect()
}
