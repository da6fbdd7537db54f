//! Subjects of methods: `rpc.<package>.<Service>.<Method>`.

/// Returns the subject of a method by its path, `/<package>.<Service>/<Method>`.
pub(crate) fn of(path: &str) -> String {
    format!("rpc.{}", path.trim_start_matches('/').replace('/', "."))
}

/// Returns the filter of all methods of a service by its full name.
pub(crate) fn of_service(name: &str) -> String {
    format!("rpc.{name}.*")
}

/// Returns the full name of the service of a path.
pub(crate) fn service(path: &str) -> &str {
    let name = path.trim_start_matches('/');
    name.split_once('/').map_or(name, |(service, _)| service)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_method_has_one_subject_below_that_of_its_service() {
        let path = "/stock.v1.StockService/GetStock";
        assert_eq!(of(path), "rpc.stock.v1.StockService.GetStock");
        assert_eq!(of_service(service(path)), "rpc.stock.v1.StockService.*");
    }
}
