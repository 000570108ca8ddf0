// Starts Swagger UI on the specification named by this script's own data attribute.
"use strict";

// By itself Swagger UI fills the optional fields of a form with invented values, and sends those left empty as empty
// texts. Here a field starts empty unless the specification has a value for it, and what is empty is not sent.
const isInvented = ({ schema, required, dispatchInitialValue }) =>
  dispatchInitialValue &&
  !["default", "example", "examples"].some((key) => schema.has(key)) &&
  (!required || schema.getIn(["items", "format"]) === "binary");

const EmptyFields = () => ({
  wrapComponents: {
    JsonSchemaForm: (Original, { React }) => (props) =>
      React.createElement(Original, { ...props, ...(isInvented(props) && { dispatchInitialValue: false }) }),
    ParameterIncludeEmpty: (Original, { React }) => (props) =>
      React.createElement(Original, {
        ...props,
        isIncludedOptions: { ...props.isIncludedOptions, defaultValue: false },
      }),
  },
});

SwaggerUIBundle({
  url: document.currentScript.dataset.specUrl,
  domNode: document.getElementById("swagger-ui"),
  presets: [SwaggerUIBundle.presets.apis],
  plugins: [EmptyFields],
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
