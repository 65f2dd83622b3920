"""Chromium without a screen, for tests of the review page."""

import shutil
from contextlib import contextmanager
from pathlib import Path

from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait
from services import missing

CHROMIUM, DRIVER = "/usr/bin/chromium", "/usr/bin/chromedriver"
"""Debian's; no other is downloaded."""

PATIENCE_S = 40
"""A machine that is busy with other things may take its time."""

FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage",
)  # fmt: skip


class Browser:
    """A browser with a review open in it."""

    def __init__(self, driver):
        self.driver = driver

    def open(self, address):
        self.driver.get("about:blank")  # the same address with another token is another page
        self.driver.get(address)

    def find(self, name):
        return self.driver.find_element(By.CSS_SELECTOR, f"[data-testid={name}]")

    def text(self, name):
        return self.find(name).text

    def run(self, script, *arguments):
        return self.driver.execute_script(script, *arguments)

    def keys(self, *pressed):
        """Press keys, wherever the focus is."""
        ActionChains(self.driver, duration=0).send_keys(*pressed).perform()

    def chord(self, held, key):
        """Press a key while another is held."""
        ActionChains(self.driver, duration=0).key_down(held).send_keys(key).key_up(held).perform()

    def until(self, condition, why=""):
        """Wait until a condition holds of the page."""

        def holds(_):
            return condition()

        return WebDriverWait(self.driver, PATIENCE_S, 0.02, [Exception]).until(holds, why)

    def ready(self):
        """Wait until the picture of the lesion is there."""
        self.until(lambda: self.run("return document.body.dataset.ready") == "yes", "no picture")

    def at(self, lesion):
        """Wait until a lesion is shown with its picture."""
        self.until(lambda: self.text("lesion") == f"Lesion {lesion}", f"lesion {lesion} is not shown")
        self.ready()

    def size(self, width, height):
        self.driver.execute_cdp_cmd(
            "Emulation.setDeviceMetricsOverride",
            {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False},
        )

    def complaints(self):
        """Errors on the page's console but answers that are not "ok", which the page tells itself."""
        return [e for e in self.driver.get_log("browser") if e["source"] != "network" and e["level"] == "SEVERE"]


@contextmanager
def browser(folder, width=1280, height=720):
    """Start a browser with a profile of its own; skip the test, or fail it, where there is none."""
    for program in (CHROMIUM, DRIVER):
        if not Path(program).is_file():
            missing(f"{Path(program).name} (Debian: chromium, chromium-driver)")
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for flag in (*FLAGS, f"--user-data-dir={folder}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(DRIVER))
    try:
        page = Browser(driver)
        page.size(width, height)
        yield page
    finally:
        driver.quit()
        shutil.rmtree(folder, ignore_errors=True)
