//! The request forms of an MLflow scoring server: `dataframe_split`, `dataframe_records`, `instances`, `inputs`.

use serde::de::{MapAccess, SeqAccess};
use serde_json::value::RawValue;

use crate::json::{Capped, Found, Kind, Name, Shape, Shaped, parse, skip_value};
use crate::place::Layout;
use crate::rows::{Cells, check_count, check_rows, quoted};
use crate::table::Table;
use crate::{Column, ScoreInput, WireError, WireLimits};

const ROWS: usize = WireLimits::DOCUMENTED_ROWS;

/// Reads the body of `POST /invocations`: exactly one of `dataframe_split`, `dataframe_records`, `instances`,
/// `inputs`, or `input_data` as `/score` takes it. Other keys, `params` among them, are tolerated.
///
/// # Errors
/// The first broken rule, naming row and column where one row breaks it.
pub fn parse_invocations<'a>(
    body: &'a [u8],
    limits: &WireLimits,
) -> Result<ScoreInput<'a>, WireError> {
    let request: Found<Request<'a>> = parse(body)?;
    let request = request.expect("the body", "a JSON object")?;
    if let Some((first, second)) = request.twice {
        return Err(WireError::TwoForms { first, second });
    }
    let table = "an object with \"columns\" and \"data\"";
    match request.form {
        Some(Form::Split(root, found)) => found.expect(root, table)?.check(root, limits),
        Some(Form::Records(root, Rows::Records(records))) => check_records(records, root, limits),
        Some(Form::Records(root, Rows::Columns(columns))) => columns.check(root, limits),
        Some(Form::Records(root, Rows::Wrong(found))) => Err(WireError::WrongKind {
            path: root.to_owned(),
            expected: "a list of {\"image\", \"text\"} objects, or an object of two lists",
            found,
        }),
        None => Err(WireError::Missing {
            path: "dataframe_split".to_owned(),
            expected: "one of \"dataframe_split\", \"dataframe_records\", \"instances\", \"inputs\"",
        }),
    }
}

struct Request<'de> {
    form: Option<Form<'de>>,
    /// Two keys that both hold rows.
    twice: Option<(&'static str, &'static str)>,
}

enum Form<'de> {
    Split(&'static str, Found<Table<'de>>),
    Records(&'static str, Rows<'de>),
}

impl Form<'_> {
    fn key(&self) -> &'static str {
        match self {
            Self::Split(key, _) | Self::Records(key, _) => key,
        }
    }
}

/// The value of the key just read.
fn next<'de, A: MapAccess<'de>, T: Shape<'de>>(object: &mut A) -> Result<T, A::Error> {
    Ok(object.next_value::<Shaped<T>>()?.0)
}

/// Rows as records, or as one list for each column.
enum Rows<'de> {
    Records(Capped<Shaped<Found<Record<'de>>>, ROWS>),
    Columns(Lists<'de>),
    Wrong(Kind),
}

/// One `{"image", "text"}` object.
#[derive(Default)]
struct Record<'de> {
    image: Option<&'de RawValue>,
    text: Option<&'de RawValue>,
    unknown: Option<String>,
}

/// `{"image": […], "text": […]}`.
#[derive(Default)]
struct Lists<'de> {
    image: Option<Found<Capped<&'de RawValue, ROWS>>>,
    text: Option<Found<Capped<&'de RawValue, ROWS>>>,
    unknown: Option<String>,
}

impl<'de> Shape<'de> for Found<Request<'de>> {
    fn other(kind: Kind) -> Self {
        Self::Other(kind)
    }

    fn object<A: MapAccess<'de>>(mut object: A) -> Result<Self, A::Error> {
        let (mut form, mut twice) = (None, None);
        while let Some(Shaped(Name(name))) = object.next_key()? {
            let found = match &*name {
                "dataframe_split" => Form::Split("dataframe_split", next(&mut object)?),
                "input_data" => Form::Split("input_data", next(&mut object)?),
                "dataframe_records" => Form::Records("dataframe_records", next(&mut object)?),
                "instances" => Form::Records("instances", next(&mut object)?),
                "inputs" => Form::Records("inputs", next(&mut object)?),
                _ => {
                    skip_value(&mut object)?;
                    continue;
                }
            };
            // Of a key that stands twice the last counts, as Python's `json` has it.
            let before: Option<Form<'de>> = form.replace(found);
            if let (Some(first), Some(second)) = (before, form.as_ref())
                && first.key() != second.key()
            {
                twice = twice.or(Some((first.key(), second.key())));
            }
        }
        Ok(Self::Wanted(Request { form, twice }))
    }
}

impl<'de> Shape<'de> for Rows<'de> {
    fn other(kind: Kind) -> Self {
        Self::Wrong(kind)
    }

    fn list<A: SeqAccess<'de>>(list: A) -> Result<Self, A::Error> {
        match Found::<Capped<_, ROWS>>::list(list)? {
            Found::Wanted(records) => Ok(Self::Records(records)),
            Found::Other(kind) => Ok(Self::Wrong(kind)),
        }
    }

    fn object<A: MapAccess<'de>>(mut object: A) -> Result<Self, A::Error> {
        let mut lists = Lists::default();
        while let Some(Shaped(Name(name))) = object.next_key()? {
            match Column::from_name(&name) {
                Some(Column::Image) => lists.image = Some(object.next_value::<Shaped<_>>()?.0),
                Some(Column::Text) => lists.text = Some(object.next_value::<Shaped<_>>()?.0),
                None => {
                    lists.unknown = Some(quoted(&name));
                    skip_value(&mut object)?;
                }
            }
        }
        Ok(Self::Columns(lists))
    }
}

impl<'de> Shape<'de> for Found<Record<'de>> {
    fn other(kind: Kind) -> Self {
        Self::Other(kind)
    }

    fn object<A: MapAccess<'de>>(mut object: A) -> Result<Self, A::Error> {
        let mut record = Record::default();
        while let Some(Shaped(Name(name))) = object.next_key()? {
            match Column::from_name(&name) {
                Some(Column::Image) => record.image = Some(object.next_value()?),
                Some(Column::Text) => record.text = Some(object.next_value()?),
                None => {
                    record.unknown = Some(quoted(&name));
                    skip_value(&mut object)?;
                }
            }
        }
        Ok(Self::Wanted(record))
    }
}

fn check_records<'de>(
    records: Capped<Shaped<Found<Record<'de>>>, ROWS>,
    root: &'static str,
    limits: &WireLimits,
) -> Result<ScoreInput<'de>, WireError> {
    check_count(records.total, limits)?;
    let layout = Layout::Records { root };
    let mut rows = Vec::with_capacity(records.kept.len());
    for (row, Shaped(record)) in records.kept.into_iter().enumerate() {
        let path = format!("{root}[{row}]");
        let record = record.expect(&path, "an object with \"image\" and \"text\"")?;
        if let Some(found) = record.unknown {
            return Err(WireError::UnknownColumn { row, path, found });
        }
        let image =
            record.image.ok_or_else(|| WireError::MissingCell(layout.place(row, Column::Image)))?;
        let text =
            record.text.ok_or_else(|| WireError::MissingCell(layout.place(row, Column::Text)))?;
        rows.push(Cells { image, text });
    }
    check_rows(rows, layout, limits)
}

impl<'de> Lists<'de> {
    fn check(self, root: &'static str, limits: &WireLimits) -> Result<ScoreInput<'de>, WireError> {
        if let Some(found) = self.unknown {
            return Err(WireError::Columns {
                path: root.to_owned(),
                found: format!("also {found}"),
            });
        }
        let list = |found: Option<Found<Capped<&'de RawValue, ROWS>>>, column: Column| {
            let path = format!("{root}.{}", column.name());
            match found {
                Some(found) => found.expect(&path, "a list of strings"),
                None => Err(WireError::Missing { path, expected: "a list of strings" }),
            }
        };
        let image = list(self.image, Column::Image)?;
        let text = list(self.text, Column::Text)?;
        check_count(image.total.max(text.total), limits)?;
        if image.total != text.total {
            let path = format!("{root}.text");
            return Err(WireError::IndexMismatch {
                path,
                index: text.total as u64,
                rows: image.total,
            });
        }
        let rows = image
            .kept
            .into_iter()
            .zip(text.kept)
            .map(|(image, text)| Cells { image, text })
            .collect();
        check_rows(rows, Layout::Columns { root }, limits)
    }
}
