// A plugin of Swagger UI: where the specification is only for who has a token, the page asks for one.
//
// By itself Swagger UI knows from the specification how to ask, so that without it there is no form either. The browser's
// own dialog would come first, which keeps what is typed into it until the browser is closed.
"use strict";

const isClosed = document.currentScript.dataset.isClosed === "true";

// What stands in the place of the specification, for the same two schemes; see access_text.py.
const withoutToken = (reason) => ({
  openapi: "3.1.0",
  info: {
    title: document.title,
    version: "",
    description: `**${reason}** The models are shown once you **Authorize**, with a token of \`modelserve clients add\`.`,
  },
  paths: {},
  components: {
    securitySchemes: {
      bearer: { type: "http", scheme: "bearer", description: "A token of `modelserve clients add`." },
      basic: { type: "http", scheme: "basic", description: "The client's name, and a token as the password." },
    },
  },
  security: [{ bearer: [] }, { basic: [] }],
});

const authorization = (authorized) => {
  const { bearer, basic } = authorized.toJS();
  if (bearer) {
    return { Authorization: `Bearer ${bearer.value}` };
  }
  return basic ? { Authorization: `Basic ${btoa(`${basic.value.username}:${basic.value.password}`)}` } : {};
};

// eslint-disable-next-line no-unused-vars -- swagger-init.js uses it
const TokenForm = () => {
  let isRefused = isClosed;
  return {
    afterLoad({ fn: { fetch }, getSystem }) {
      this.fn.fetch = async (request) => {
        if (!request.loadSpec) {
          return fetch(request);
        }
        const { authSelectors, authActions } = getSystem();
        const token = authorization(authSelectors.authorized());
        if (isRefused && !token.Authorization) {
          return { status: 200, text: JSON.stringify(withoutToken("This server needs a token.")) };
        }
        try {
          const response = await fetch({ ...request, headers: { ...request.headers, ...token } });
          isRefused = false;
          return response;
        } catch (error) {
          if (![401, 429].includes(error.status)) {
            throw error;
          }
          isRefused = true;
          authActions.logout(["bearer", "basic"]);
          const reason = error.response?.obj?.message ?? "This server needs a token.";
          return { status: 200, text: JSON.stringify(withoutToken(reason)) };
        }
      };
    },
    statePlugins: {
      auth: {
        wrapActions: {
          authorize: (original, system) => (given) => {
            if (isRefused) {
              queueMicrotask(() => system.specActions.download());
            }
            return original(given);
          },
        },
      },
    },
  };
};
