//! The table of a service's errors: gRPC code and stable reason per variant.

/// Implements `From<$error>` for [`Fault`](crate::error::Fault) and for `tonic::Status`.
///
/// Each line of the table maps a pattern to a gRPC code and a reason; the message is the error's
/// `Display`. `field:` names the wrong field of the request (`google.rpc.BadRequest`), `metadata:`
/// adds a value (`google.rpc.ErrorInfo.metadata`). Lines after `else` map a pattern to a fault that
/// other code makes. A variant without a line doesn't compile.
///
/// ```
/// #[derive(Debug, thiserror::Error)]
/// enum Error {
///     #[error("no order {0}")]
///     UnknownOrder(u32),
///     #[error("{0}: invalid time")]
///     InvalidTime(&'static str),
///     #[error("disk")]
///     Disk(#[from] std::io::Error),
/// }
///
/// rpc::faults! {
///     Error {
///         Error::UnknownOrder(_) => NotFound, "ORDER_NOT_FOUND";
///         Error::InvalidTime(field) => InvalidArgument, "INVALID_FIELD", field: field;
///     } else {
///         Error::Disk(error) => rpc::error::internal(error);
///     }
/// }
///
/// let status = tonic::Status::from(Error::UnknownOrder(7));
/// assert_eq!(status.code(), tonic::Code::NotFound);
/// assert_eq!(rpc::error::reason(&status).as_deref(), Some("ORDER_NOT_FOUND"));
/// ```
#[macro_export]
macro_rules! faults {
    (
        $error:ident {
            $(
                $pattern:pat => $code:ident, $reason:literal
                $(, field: $field:expr)?
                $(, metadata: $key:literal = $value:expr)?;
            )*
        } else {
            $($other:pat => $fault:expr;)*
        }
    ) => {
        impl ::std::convert::From<$error> for $crate::error::Fault {
            fn from(error: $error) -> Self {
                let message = error.to_string();
                match error {
                    $($pattern => Self::new($crate::tonic::Code::$code, $reason, message.clone())
                        $(.violation($field, message))?
                        $(.metadata($key, $value))?,)*
                    $($other => $fault,)*
                }
            }
        }

        impl ::std::convert::From<$error> for $crate::tonic::Status {
            fn from(error: $error) -> Self {
                $crate::error::Fault::from(error).into()
            }
        }
    };
}
