// Starts Swagger UI on the specification named by this script's own data attribute.
"use strict";

SwaggerUIBundle({
  url: document.currentScript.dataset.specUrl,
  domNode: document.getElementById("swagger-ui"),
  presets: [SwaggerUIBundle.presets.apis],
  plugins: [ExactFields, TokenForm],
  requestInterceptor: withOwnHeaders,
  // BaseLayout has no top bar, so no field in which another specification can be opened.
  layout: "BaseLayout",
  // A link to this page must not be able to load somebody else's specification or options (CVE-2018-25031).
  queryConfigEnabled: false,
  validatorUrl: null,
  deepLinking: true,
  displayRequestDuration: true,
  tryItOutEnabled: true,
  defaultModelsExpandDepth: 0,
});
