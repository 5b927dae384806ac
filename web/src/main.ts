// The page: it mounts the app, and everything else follows the address.

import { mount } from "svelte";
import App from "./App.svelte";
import "./style.css";

const target = document.getElementById("page");
if (target) mount(App, { target });
