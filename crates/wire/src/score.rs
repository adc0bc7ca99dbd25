use serde::de::MapAccess;

use crate::json::{Found, Kind, Name, Shape, Shaped, parse, skip_value};
use crate::table::Table;
use crate::{ScoreInput, WireError, WireLimits};

const ROOT: &str = "input_data";
const EXPECTED: &str = "an object with \"columns\", \"index\" and \"data\"";

/// Reads the body of `POST /score`.
///
/// Beside `input_data` any top-level key is tolerated with any value, `params` among them; the keys come in any
/// order, and of a repeated key the last counts.
///
/// # Errors
/// The first broken rule, naming row and column where one row breaks it.
pub fn parse_score<'a>(body: &'a [u8], limits: &WireLimits) -> Result<ScoreInput<'a>, WireError> {
    let request: Found<Request<'a>> = parse(body)?;
    let request = request.expect("the body", "a JSON object")?;
    match request.input_data {
        Some(table) => table.expect(ROOT, EXPECTED)?.check(ROOT, limits),
        None => Err(WireError::Missing { path: ROOT.to_owned(), expected: EXPECTED }),
    }
}

/// Reads the parameter `input_data` of `GET /score?input_data=…`, already percent-decoded: either the table or the
/// whole request around it.
///
/// # Errors
/// As [`parse_score`].
pub fn parse_score_query<'a>(
    query: &'a str,
    limits: &WireLimits,
) -> Result<ScoreInput<'a>, WireError> {
    match parse_score(query.as_bytes(), limits) {
        Err(WireError::Missing { path, .. }) if path == ROOT => {
            let table: Found<Table<'a>> = parse(query.as_bytes())?;
            table.expect(ROOT, EXPECTED)?.check(ROOT, limits)
        }
        outcome => outcome,
    }
}

struct Request<'de> {
    input_data: Option<Found<Table<'de>>>,
}

impl<'de> Shape<'de> for Found<Request<'de>> {
    fn other(kind: Kind) -> Self {
        Self::Other(kind)
    }

    fn object<A: MapAccess<'de>>(mut object: A) -> Result<Self, A::Error> {
        let mut request = Request { input_data: None };
        while let Some(Shaped(Name(name))) = object.next_key()? {
            match &*name {
                ROOT => request.input_data = Some(object.next_value::<Shaped<_>>()?.0),
                _ => skip_value(&mut object)?,
            }
        }
        Ok(Self::Wanted(request))
    }
}
