// Shows the document of the gateway that serves this page.
SwaggerUIBundle({
  url: new URL("../openapi.json" + location.search, location.href).href,
  dom_id: "#explorer",
  deepLinking: true,
  // Nothing is asked of other hosts.
  validatorUrl: null,
});
