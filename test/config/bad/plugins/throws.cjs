throw new Error("the service refused 127.0.0.1 and https://me:hunter2@example.com/in?key=hunter2\nat line 2")
