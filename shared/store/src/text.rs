//! Stores enums as text.

/// Implements `sqlx::Type`, `Encode` and `Decode` for enums that the database holds as text.
///
/// The names are those of the enum's `FromStr` and `Into<&'static str>`, which `strum` derives:
/// rules stay free of SQL, and one list of names serves logs, database and contract. A stored
/// name that the enum doesn't have is a decode error of the column.
///
/// ```
/// #[derive(Clone, Copy, Debug, PartialEq, strum::EnumString, strum::IntoStaticStr)]
/// #[strum(serialize_all = "SCREAMING_SNAKE_CASE")]
/// enum State {
///     Reserved,
///     OutOfStock,
/// }
///
/// store::text_enum!(State);
///
/// assert_eq!(<&str>::from(State::OutOfStock), "OUT_OF_STOCK");
/// ```
#[macro_export]
macro_rules! text_enum {
    ($($name:ty),+ $(,)?) => {$(
        impl $crate::sqlx::Type<$crate::sqlx::Postgres> for $name {
            fn type_info() -> $crate::sqlx::postgres::PgTypeInfo {
                <str as $crate::sqlx::Type<$crate::sqlx::Postgres>>::type_info()
            }

            fn compatible(stored: &$crate::sqlx::postgres::PgTypeInfo) -> bool {
                <str as $crate::sqlx::Type<$crate::sqlx::Postgres>>::compatible(stored)
            }
        }

        impl<'q> $crate::sqlx::Encode<'q, $crate::sqlx::Postgres> for $name {
            fn encode_by_ref(
                &self,
                buffer: &mut $crate::sqlx::postgres::PgArgumentBuffer,
            ) -> ::std::result::Result<
                $crate::sqlx::encode::IsNull,
                $crate::sqlx::error::BoxDynError,
            > {
                let name: &'static str = self.into();
                <&str as $crate::sqlx::Encode<'_, $crate::sqlx::Postgres>>::encode(name, buffer)
            }
        }

        impl<'r> $crate::sqlx::Decode<'r, $crate::sqlx::Postgres> for $name {
            fn decode(
                value: $crate::sqlx::postgres::PgValueRef<'r>,
            ) -> ::std::result::Result<Self, $crate::sqlx::error::BoxDynError> {
                let name = <&str as $crate::sqlx::Decode<'_, $crate::sqlx::Postgres>>::decode(value)?;
                name.parse::<$name>()
                    .map_err(|_| format!("unknown {}: {name:?}", stringify!($name)).into())
            }
        }
    )+};
}
