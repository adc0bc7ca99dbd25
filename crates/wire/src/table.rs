//! The table `{"columns", "index", "data"}`: pandas' "split" orientation, shared by `/score` and `/invocations`.

use serde::de::MapAccess;
use serde_json::value::RawValue;

use crate::json::{Capped, Found, Kind, Name, Shape, Shaped, Skipped, Text, skip_value};
use crate::place::Layout;
use crate::rows::{Cells, check_count, check_rows, quoted};
use crate::{Column, ScoreInput, WireError, WireLimits};

const ROWS: usize = WireLimits::DOCUMENTED_ROWS;

/// A table as it was sent.
#[derive(Default)]
pub(crate) struct Table<'de> {
    columns: Option<Found<Capped<Shaped<Found<Text<'de>>>, 8>>>,
    index: Option<Index>,
    data: Option<Found<Capped<Shaped<RawRow<'de>>, ROWS>>>,
}

type RawRow<'de> = Found<Capped<&'de RawValue, 2>>;

/// The index: a list with one entry a row, a count of the rows, or nothing.
enum Index {
    Count(u64),
    Absent,
    Wrong(Kind),
}

impl<'de> Shape<'de> for Index {
    fn other(kind: Kind) -> Self {
        if kind == Kind::Null { Self::Absent } else { Self::Wrong(kind) }
    }

    fn count(count: u64) -> Self {
        Self::Count(count)
    }

    fn list<A: serde::de::SeqAccess<'de>>(mut list: A) -> Result<Self, A::Error> {
        let mut entries = 0;
        while list.next_element::<Shaped<Skipped>>()?.is_some() {
            entries += 1;
        }
        Ok(Self::Count(entries))
    }
}

impl<'de> Shape<'de> for Found<Table<'de>> {
    fn other(kind: Kind) -> Self {
        Self::Other(kind)
    }

    fn object<A: MapAccess<'de>>(mut object: A) -> Result<Self, A::Error> {
        let mut table = Table::default();
        while let Some(Shaped(Name(name))) = object.next_key()? {
            match &*name {
                "columns" => table.columns = Some(object.next_value::<Shaped<_>>()?.0),
                "index" => table.index = Some(object.next_value::<Shaped<_>>()?.0),
                "data" => table.data = Some(object.next_value::<Shaped<_>>()?.0),
                _ => skip_value(&mut object)?,
            }
        }
        Ok(Self::Wanted(table))
    }
}

impl<'de> Table<'de> {
    /// The rows of the table, checked; `root` is the table's path in the request.
    pub(crate) fn check(
        self,
        root: &'static str,
        limits: &WireLimits,
    ) -> Result<ScoreInput<'de>, WireError> {
        let image_at = image_position(self.columns, root)?;
        let data = match self.data {
            Some(found) => found.expect(&format!("{root}.data"), "a list of rows")?,
            None => {
                return Err(WireError::Missing {
                    path: format!("{root}.data"),
                    expected: "a list of rows",
                });
            }
        };
        check_count(data.total, limits)?;
        check_index(self.index, root, data.total)?;
        let mut rows = Vec::with_capacity(data.kept.len());
        for (row, Shaped(cells)) in data.kept.into_iter().enumerate() {
            let path = format!("{root}.data[{row}]");
            let cells = cells.expect(&path, "a list of two strings")?;
            match (&*cells.kept, cells.total) {
                (&[image, text], 2) if image_at == 0 => rows.push(Cells { image, text }),
                (&[text, image], 2) => rows.push(Cells { image, text }),
                _ => return Err(WireError::RowLength { row, path, found: cells.total }),
            }
        }
        check_rows(rows, Layout::Split { root, image_at }, limits)
    }
}

/// The position of the image column, 0 or 1.
fn image_position(
    columns: Option<Found<Capped<Shaped<Found<Text<'_>>>, 8>>>,
    root: &str,
) -> Result<usize, WireError> {
    let path = format!("{root}.columns");
    let expected = "a list of the names \"image\" and \"text\"";
    let columns = match columns {
        Some(found) => found.expect(&path, expected)?,
        None => return Err(WireError::Missing { path, expected }),
    };
    let mut names = Vec::new();
    for (at, Shaped(name)) in columns.kept.into_iter().enumerate() {
        names.push(name.expect(&format!("{path}[{at}]"), "a column name")?.0);
    }
    let known: Vec<_> = names.iter().map(|name| Column::from_name(name)).collect();
    match *known {
        [Some(Column::Image), Some(Column::Text)] if columns.total == 2 => Ok(0),
        [Some(Column::Text), Some(Column::Image)] if columns.total == 2 => Ok(1),
        _ => {
            let mut found: Vec<_> = names.iter().map(|name| quoted(name)).collect();
            if columns.total > found.len() {
                found.push(format!("and {} more", columns.total - found.len()));
            }
            Err(WireError::Columns { path, found: format!("[{}]", found.join(", ")) })
        }
    }
}

fn check_index(index: Option<Index>, root: &str, rows: usize) -> Result<(), WireError> {
    let path = format!("{root}.index");
    match index {
        None | Some(Index::Absent) => Ok(()),
        Some(Index::Count(count)) if count == rows as u64 => Ok(()),
        Some(Index::Count(index)) => Err(WireError::IndexMismatch { path, index, rows }),
        Some(Index::Wrong(found)) => Err(WireError::WrongKind {
            path,
            expected: "a list with one entry for each row, or their count",
            found,
        }),
    }
}
