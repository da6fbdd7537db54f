//! Bounds on what one unit (a file, an upload) may ask of its reader.

/// Longest record, in bytes of text, unless the settings say otherwise (`max_record_bytes`).
pub const RECORD_BYTES: usize = 1 << 20;

/// Largest `max_record_bytes`.
pub const MAX_RECORD_BYTES: usize = 16 << 20;

/// Most lines of one CSV record: a line break within quotes does not end it.
pub const MAX_RECORD_LINES: usize = 64;

/// Most columns of a table.
pub const MAX_COLUMNS: usize = 4_096;

/// Most values of one record of JSON, XML or Parquet, lists and objects counted.
pub const MAX_RECORD_VALUES: usize = 65_536;

/// Levels of nested elements of XML, the root counted. JSON has [`wire::MAX_DEPTH`].
pub const MAX_XML_DEPTH: usize = 64;

/// Longest piece of markup or text between two tags of XML, in bytes.
pub const MAX_XML_PIECE_BYTES: usize = MAX_RECORD_BYTES;

/// Bytes of a unit as text, after it was unpacked, unless the settings say otherwise (`max_bytes`).
pub const UNIT_BYTES: u64 = 16 << 30;

/// Most times that packed bytes may grow when they are unpacked, beyond [`FREE_BYTES`].
pub const MAX_RATIO: u64 = 200;

/// Unpacked bytes for which [`MAX_RATIO`] does not count: small files pack well.
pub const FREE_BYTES: u64 = 32 << 20;

/// Most members of a zip archive.
pub const MAX_MEMBERS: usize = 1_000;

/// Largest window of zstd, as a power of two: 128 MiB.
pub const MAX_ZSTD_WINDOW_LOG: u32 = 27;

/// Bytes of a workbook, packed or unpacked, and of a Parquet file that has to be held in memory.
pub const MAX_MEMORY_BYTES: u64 = 128 << 20;

/// Most cells of a sheet.
pub const MAX_CELLS: usize = 4_000_000;

/// Bytes of one column of one row group of Parquet, unpacked.
pub const MAX_COLUMN_CHUNK_BYTES: i64 = 1 << 30;

/// Longest excerpt of a value that a flaw keeps, in characters.
pub const MAX_VALUE_CHARS: usize = 256;

/// Longest excerpt of a record that a flaw or a record keeps, in bytes.
pub const MAX_RAW_BYTES: usize = 4_096;

/// Bytes that are read at a time.
pub(crate) const BLOCK_BYTES: usize = 64 * 1024;
