"""The app of the blog post, on today's Flask and TensorFlow: no keys, no limits, no log.

`POST /` takes 784 numbers in 0..255, dark ink on light paper, and gives ten probabilities.
`CHECKPOINT` names the files that `tf.train.Saver` wrote.
"""

import os

import numpy as np
import tensorflow.compat.v1 as tf
from flask import Flask, jsonify, request
from flask.typing import ResponseReturnValue

tf.disable_eager_execution()

x = tf.placeholder(tf.float32, [None, 784])
W = tf.get_variable("W", [784, 10])
b = tf.get_variable("b", [10])
y = tf.nn.softmax(tf.matmul(x, W) + b)

sess = tf.Session()
tf.train.Saver([W, b]).restore(sess, os.environ["CHECKPOINT"])

app = Flask(__name__)


@app.post("/")
def mnist() -> ResponseReturnValue:
    image = ((255 - np.array(request.json, dtype=np.uint8)) / 255.0).reshape(1, 784)
    (probabilities,) = sess.run(y, feed_dict={x: image})
    return jsonify(probabilities.tolist())
