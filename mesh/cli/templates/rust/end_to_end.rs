//! The service with a database and a broker of its own, as callers see it.

use std::time::Duration;

use protomesh::{anyhow, error::reason, tokio};
use protomesh_testing::Mesh;

use {{name}}::protos::{self, {{name}}::v1::*};
use {{name}}_service_client::{{Name}}ServiceClient;

#[tokio::test(crate = "protomesh::tokio")]
async fn an_item_is_created_once_and_counted_once() -> anyhow::Result<()> {
    let mesh = Mesh::builder().only(["{{name}}"]).start().await?;
    let mut client = {{Name}}ServiceClient::new(mesh.upstream("{{name}}", protos::METHODS)?);
    let mut totals = client.watch_totals(WatchTotalsRequest {}).await?.into_inner();
    assert_eq!(totals.message().await?, Some(WatchTotalsResponse { items: 0, pieces: 0 }));

    let item_id = "6f9619ff-8b86-4d01-b42d-00cf4fc964ff".to_owned();
    let get = GetItemRequest { item_id: item_id.clone() };
    let lamp = CreateItemRequest { item_id, title: "a lamp".to_owned(), quantity: 3 };
    let created = client.create_item(lamp.clone()).await?.into_inner().item;
    let repeated = client.create_item(lamp.clone()).await?.into_inner().item;
    assert_eq!(created, repeated);
    assert_eq!(client.get_item(get).await?.into_inner().item, created);
    let counted = tokio::time::timeout(Duration::from_secs(10), totals.message()).await??;
    assert_eq!(counted, Some(WatchTotalsResponse { items: 1, pieces: 3 }));

    for (quantity, why) in [(0, "INVALID_FIELD"), (4, "ITEM_CHANGED")] {
        let other = CreateItemRequest { quantity, ..lamp.clone() };
        assert_eq!(reason(&client.create_item(other).await.unwrap_err()).as_deref(), Some(why));
    }
    Ok(())
}
