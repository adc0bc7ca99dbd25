use std::fmt;

/// The two columns of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Column {
    /// The base64 picture.
    Image,
    /// The sentences, separated by `&`.
    Text,
}

impl Column {
    /// The name the contract gives the column.
    pub fn name(self) -> &'static str {
        match self {
            Self::Image => "image",
            Self::Text => "text",
        }
    }

    /// The column of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "image" => Some(Self::Image),
            "text" => Some(Self::Text),
            _ => None,
        }
    }
}

/// Where in a request something stands; printed as `row 3, column "image" (input_data.data[3][0])`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The row, counted from 0.
    pub row: usize,
    /// The column.
    pub column: Column,
    /// The path in the JSON document.
    pub path: String,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "row {}, column \"{}\" ({})", self.row, self.column.name(), self.path)
    }
}

/// How a request lays out its cells: decides the path that an error names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Layout {
    /// `{root}.data[row][column]`, with the position of the image column.
    Split { root: &'static str, image_at: usize },
    /// `{root}[row].column`.
    Records { root: &'static str },
    /// `{root}.column[row]`.
    Columns { root: &'static str },
    /// `inputs[tensor].data[row]`, with the position of each column's tensor.
    Tensors { image_at: usize, text_at: usize },
}

impl Layout {
    pub(crate) fn place(self, row: usize, column: Column) -> Place {
        let path = match self {
            Self::Split { root, image_at } => {
                let at = if column == Column::Image { image_at } else { 1 - image_at };
                format!("{root}.data[{row}][{at}]")
            }
            Self::Records { root } => format!("{root}[{row}].{}", column.name()),
            Self::Columns { root } => format!("{root}.{}[{row}]", column.name()),
            Self::Tensors { image_at, text_at } => {
                let at = if column == Column::Image { image_at } else { text_at };
                format!("inputs[{at}].data[{row}]")
            }
        };
        Place { row, column, path }
    }
}
